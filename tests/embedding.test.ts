// The embedding contract: what an app that takes Glia in may rely on.
import { afterEach, describe, expect, test } from 'vitest';
import { OptionError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { VAE } from '../src/models/vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { add, mul } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { mean } from '../src/ops/reduce.ts';
import { input, Variable } from '../src/ops/source.ts';
import { compile } from '../src/runtime/compile.ts';
import { copyOut } from '../src/runtime/readback.ts';
import { freeVariables, readVariable, writeVariable } from '../src/runtime/variables.ts';
import { Calls } from './calls.ts';

const devices: GPUDevice[] = [];

async function appDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  devices.push(device);
  return device;
}

afterEach(() => {
  for (const device of devices.splice(0)) device.destroy();
});

/** y = 2x + 1 over four numbers. */
const affine = (gpu: Gpu) => compile(gpu, { outputs: { y: add(mul(input('x', [4]), 2), 1) } });

function trainingStep(seed = 0) {
  const vae = new VAE({ pixels: 36, hidden: 24, latent: 3 });
  const parameters = new Parameters(vae, seed);
  const adam = new Adam(parameters);
  const loss = mean(vae.elbo(input('images', [16, 36]), input('noise', [16, 3])).loss);
  return { parameters, adam, graph: { outputs: { loss }, updates: adam.minimize(loss).updates } };
}

const batch = () => ({ images: new Float32Array(16 * 36).fill(0.5), noise: new Float32Array(16 * 3).fill(0.25) });

test('a step is one submit and one compute pass, and makes nothing on the device', async () => {
  using gpu = Gpu.from(await appDevice());
  const calls = new Calls(gpu.device);
  const { graph } = trainingStep();
  const program = await compile(gpu, graph);
  program.run(batch());
  expect(calls.created, 'the watching works').toContain('device.createBuffer');
  calls.reset();
  for (let step = 0; step < 5; step++) program.run(batch());
  expect(calls.of('queue.submit')).toBe(5);
  expect(calls.of('encoder.beginComputePass')).toBe(5);
  expect(calls.created).toEqual([]);
  calls.reset();
  program.run(batch(), { steps: 7 });
  expect([calls.of('queue.submit'), calls.of('encoder.beginComputePass')]).toEqual([1, 1]);
});

test("the app's device is used, and outlives the engine", async () => {
  const device = await appDevice();
  const gpu = Gpu.from(device);
  const program = await affine(gpu);
  program.run({ x: Float32Array.of(1, 2, 3, 4) });
  expect([...(await program.read('y'))]).toEqual([3, 5, 7, 9]);
  gpu.destroy();
  const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_SRC });
  const fate = await Promise.race([device.lost, device.queue.onSubmittedWorkDone().then(() => 'alive')]);
  expect(fate).toBe('alive');
  buffer.destroy();
});

test('two engines on one page know nothing of each other', async () => {
  using first = Gpu.from(await appDevice());
  using second = Gpu.from(await appDevice());
  const weight = new Variable('weight', [4], { init: () => Float32Array.of(1, 1, 1, 1) });
  const graph = { updates: [{ variable: weight, value: mul(weight.tensor, 2) }] };
  const [a, b] = await Promise.all([compile(first, graph), compile(second, graph)]);
  a.run({}, { steps: 3 });
  b.run();
  expect([...(await readVariable(first, weight))]).toEqual([8, 8, 8, 8]);
  expect([...(await readVariable(second, weight))]).toEqual([2, 2, 2, 2]);
  first.destroy();
  b.run();
  expect([...(await readVariable(second, weight))]).toEqual([4, 4, 4, 4]);
});

test("encode records into the app's encoder, and the app submits", async () => {
  using gpu = Gpu.from(await appDevice());
  const program = await affine(gpu);
  const calls = new Calls(gpu.device);
  const encoder = gpu.device.createCommandEncoder();
  program.encode(encoder, { x: Float32Array.of(0, 1, 0, 1) });
  expect(calls.of('queue.submit')).toBe(0);
  gpu.device.queue.submit([encoder.finish()]);
  expect([...(await program.read('y'))]).toEqual([1, 3, 1, 3]);
});

describe("the app's buffers", () => {
  test('go in and come out without a copy', async () => {
    const device = await appDevice();
    using gpu = Gpu.from(device);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const x = device.createBuffer({ size: 16, usage });
    const y = device.createBuffer({ size: 16, usage });
    device.queue.writeBuffer(x, 0, Float32Array.of(5, 6, 7, 8));
    const program = await affine(gpu);
    program.run({ x }, { outputs: { y } });
    const calls = new Calls(device);
    program.run({ x }, { outputs: { y } });
    const copies = [...calls.counts.keys()].filter((name) => /copy|write/.test(name));
    expect(copies).toEqual([]);
    expect(calls.created, 'bind groups are kept').toEqual([]);
    expect([...(await copyOut(gpu, { buffer: y, offset: 0, size: 16 }, 'f32'))]).toEqual([11, 13, 15, 17]);
    await expect(program.read('y')).rejects.toThrow(/output y went to the buffer that was given/);
    x.destroy();
    y.destroy();
  });

  test('feed one program from another', async () => {
    using gpu = Gpu.from(await appDevice());
    const first = await affine(gpu);
    const second = await affine(gpu);
    first.run({ x: Float32Array.of(1, 2, 3, 4) });
    second.run({ x: first.outputRange('y').buffer });
    expect([...(await second.read('y'))]).toEqual([7, 11, 15, 19]);
  });

  test('that do not fit are refused, with what they should be', async () => {
    const device = await appDevice();
    using gpu = Gpu.from(device);
    const program = await affine(gpu);
    const small = device.createBuffer({ size: 8, usage: GPUBufferUsage.STORAGE });
    const foreign = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST });
    expect(() => program.run({ x: small })).toThrow(/input x is f32\[4\], 16 bytes; the buffer given has 8/);
    expect(() => program.run({ x: foreign })).toThrow(/STORAGE/);
    expect(() => program.run({})).toThrow(/input x is f32\[4\], and was not given/);
    expect(() => program.run({ x: new Float32Array(3) })).toThrow(
      /takes a Float32Array of 4 or a GPUBuffer, got Float32Array of 3/,
    );
    const list = [1, 2, 3, 4] as unknown as Float32Array;
    expect(() => program.run({ x: list })).toThrow(/or a GPUBuffer, got Array of 4/);
    expect(() => program.run({ x: new Float32Array(4), z: small })).toThrow(/no input z; its inputs are: x/);
    await expect(program.read('z' as 'y')).rejects.toThrow(OptionError);
  });
});

test('works in a worker', async () => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message || 'the worker did not start'));
  });
  worker.terminate();
  expect(answer).toEqual([19, 22, 43, 50]);
});

test('after destroy, nothing is left allocated', async () => {
  const device = await appDevice();
  const alive = new Set<object>();
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    alive.add(buffer);
    buffer.destroy = () => {
      alive.delete(buffer);
      destroy();
    };
    return buffer;
  };
  const gpu = Gpu.from(device);
  const { graph, parameters, adam } = trainingStep();
  const program = await compile(gpu, graph);
  program.run(batch());
  await program.read('loss');
  expect(alive.size).toBeGreaterThan(4);
  expect(gpu.allocations).toBe(alive.size);
  program.destroy();
  freeVariables(gpu, [parameters.flat, ...adam.variables]);
  expect(gpu.allocatedBytes).toBe(0);
  expect(alive.size).toBe(0);
  const again = await compile(gpu, graph);
  again.run(batch());
  gpu.destroy();
  expect(alive.size).toBe(0);
  expect(() => again.run(batch())).toThrow(/was destroyed/);
});

test('a lost device is told as such', async () => {
  const device = await appDevice();
  const gpu = Gpu.from(device);
  const program = await affine(gpu);
  device.destroy();
  expect((await gpu.lost).name).toBe('DeviceLostError');
  expect(() => program.run({ x: new Float32Array(4) })).toThrow(/the GPU device is gone/);
});

test('mistakes that everybody makes once are told in words', async () => {
  const device = await appDevice();
  using gpu = Gpu.from(device);
  const pending = Promise.resolve(device) as unknown as GPUDevice;
  expect(() => Gpu.from(pending)).toThrow(/takes a GPUDevice, got Promise: await adapter.requestDevice\(\) first/);
  await expect(compile(device as unknown as Gpu, {})).rejects.toThrow(/compile takes a Gpu first: Gpu.from\(device\)/);
  await expect(compile(gpu, {})).rejects.toThrow(/nothing to compute: give compile outputs or updates/);
  await expect(compile(gpu, { outputs: { y: 3 as never } })).rejects.toThrow(/output y of compile is no tensor/);
  const step = { updates: [] } as unknown as [];
  await expect(compile(gpu, { updates: step })).rejects.toThrow(/updates of compile is no list: spread what minimize/);
  const twice = add(input('x', [4]), input('x', [4]));
  await expect(compile(gpu, { outputs: { twice } })).rejects.toThrow(/two inputs are called x: make it once/);
});

test('variables are set and read back, and refuse what does not fit', async () => {
  using gpu = Gpu.from(await appDevice());
  const bytes = new Variable('bytes', [3], { dtype: 'u8' });
  writeVariable(gpu, bytes, Uint8Array.of(1, 2, 250));
  expect([...(await readVariable(gpu, bytes))]).toEqual([1, 2, 250]);
  expect(() => writeVariable(gpu, bytes, new Uint8Array(4))).toThrow(/bytes holds u8\[3\]/);
  expect(() => matmul(input('a', [2, 3]), input('b', [2, 3]))).toThrow(/inner sizes differ in \[2, 3\] · \[2, 3\]/);
});
