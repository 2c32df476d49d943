// What a program takes in memory, what is said when a device has not as much, and what is left when it is freed; on
// lavapipe in Node.
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { OutOfMemoryError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { Pipelines } from '../src/gpu/pipelines.ts';
import { Linear } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { SGD } from '../src/nn/optimizers.ts';
import { add, exp, mul, square } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input, packVariables, Variable } from '../src/ops/source.ts';
import { scope } from '../src/ops/tensor.ts';
import { compile, evaluate, memoryOf } from '../src/runtime/compile.ts';
import { Readback } from '../src/runtime/readback.ts';
import { freeVariables, readVariable, writeVariable } from '../src/runtime/variables.ts';

const missing = inject('withoutLavapipe');

describe.skipIf(missing)('memory', () => {
  let gpu: Gpu;
  /** On a device with WebGPU's default limits: 128 MiB a binding, 256 MiB a buffer. */
  let plain: Gpu;
  beforeAll(async () => {
    const implementation = await startDawn('lavapipe');
    gpu = await Gpu.request();
    plain = Gpu.from(await (await implementation.requestAdapter())!.requestDevice());
  });
  afterAll(() => {
    gpu?.destroy();
    plain?.destroy();
    plain?.device.destroy();
  });

  const held = (of: Gpu) => ({ bytes: of.allocatedBytes, things: of.allocations });

  describe('is known before anything is made', () => {
    const [rows, columns] = [16_384, 4096];
    const bytes = rows * columns * 4;
    const limit = 128 * 2 ** 20;

    test.each([
      ['an input', () => ({ y: sum(input('photos', [rows, columns])) }), /input photos, f32\[16384, 4096\]/],
      [
        'a variable',
        () => ({ y: sum(new Variable('encoder.0.weight', [rows, columns]).tensor) }),
        /variable encoder.0.weight,/,
      ],
      [
        'a result',
        () => ({ y: matmul(input('a', [rows, 4]), input('b', [4, columns])) }),
        /the result of matmul, f32\[16384, 4096\]/,
      ],
    ])('%s that is larger than a binding is refused by name, bytes and limit', async (_, outputs, name) => {
      const before = held(plain);
      const refused = compile(plain, { outputs: outputs() });
      await expect(refused).rejects.toThrow(OutOfMemoryError);
      await expect(refused).rejects.toThrow(name);
      await expect(refused).rejects.toThrow(`${bytes} bytes; this device allows ${limit} in one binding`);
      expect(held(plain)).toEqual(before);
    });

    test('so are parameters that lie in one buffer, data that are written before, and millions of hidden units', async () => {
      const parts = Array.from({ length: 3 }, (_, i) => new Variable(`layer.${i}.weight`, [25_000, 1000]));
      packVariables('parameters', parts);
      const write = () => writeVariable(plain, parts[0]!, new Float32Array(25_000_000));
      expect(write).toThrow(OutOfMemoryError);
      expect(write).toThrow(
        /3 variables in one buffer, layer.0.weight, f32\[25000, 1000\] first.*allows 268435456 in one/,
      );
      const layer = new Linear(784, 50_000_000);
      const parameters = new Parameters(layer);
      const loss = mean(square(layer.forward(input('x', [8, 784]))));
      const step = new SGD(parameters).minimize(loss);
      await expect(compile(plain, { outputs: { loss }, updates: step.updates })).rejects.toThrow(
        /f32\[.*bytes; this device/,
      );
      expect(plain.allocations).toBe(0);
    });

    test('memoryOf tells it, and is right', async () => {
      const weight = new Variable('weight', [100, 50]);
      const graph = { outputs: { y: exp(matmul(input('x', [20, 100]), weight.tensor)) } };
      const need = await memoryOf(gpu, graph);
      const before = held(gpu);
      using program = await compile(gpu, graph);
      program.run({ x: new Float32Array(2000) });
      expect(program.memory).toEqual(need);
      expect(need.inputBytes).toBe(8000);
      expect(need.largest).toEqual({ name: 'variable weight, f32[100, 50]', bytes: 20_000 });
      expect(gpu.allocatedBytes - before.bytes).toBe(need.totalBytes);
      freeVariables(gpu, [weight]);
    });
  });

  /** As if the device had no memory for buffers of a label: its error scopes say so. */
  function withoutMemoryFor(of: Gpu, label: string): () => void {
    const { device } = of;
    const scopes: boolean[] = [];
    const { pushErrorScope, popErrorScope, createBuffer } = device;
    device.pushErrorScope = (filter) => {
      scopes.push(false);
      pushErrorScope.call(device, filter);
    };
    device.popErrorScope = () => {
      const failed = scopes.pop();
      const real = popErrorScope.call(device);
      return failed ? real.then(() => ({ message: 'no memory' }) as GPUError) : real;
    };
    device.createBuffer = (descriptor) => {
      if (descriptor.label?.includes(label)) scopes[scopes.length - 1] = true;
      return createBuffer.call(device, descriptor);
    };
    return () => Object.assign(device, { pushErrorScope, popErrorScope, createBuffer });
  }

  describe('that runs out', () => {
    test('while compiling is told by name, leaves nothing behind, and is over', async () => {
      const weight = new Variable('weight', [64], { init: () => new Float32Array(64).fill(3) });
      const graph = { outputs: { y: scope('vae.decoder', () => mul(weight.tensor, 2)) } };
      const before = held(gpu);
      const restore = withoutMemoryFor(gpu, 'decoder');
      const refused = compile(gpu, graph);
      await expect(refused).rejects.toThrow(OutOfMemoryError);
      await expect(refused).rejects.toThrow(/no memory for vae.decoder: the result of mul, f32\[64\], 256 bytes/);
      restore();
      expect((await readVariable(gpu, weight))[0]).toBe(3);
      using program = await compile(gpu, graph);
      program.run();
      expect((await program.read('y'))[0]).toBe(6);
      freeVariables(gpu, [weight]);
      program.destroy();
      expect(held(gpu)).toEqual(before);
    });

    test('for a variable or an input is told at the next call, and both are made anew', async () => {
      const weight = new Variable('weight', [64], { init: () => new Float32Array(64).fill(3) });
      const kept = new Variable('kept', [4], { init: () => new Float32Array(4).fill(5) });
      using program = await compile(gpu, { outputs: { y: add(input('x', [64]), 2), z: add(kept.tensor, 1) } });
      const before = gpu.allocations;
      /** The buffer that failed no longer counts. */
      const failure = (things: number) => vi.waitFor(() => expect(gpu.allocations).toBe(things));
      let restore = withoutMemoryFor(gpu, 'weight');
      writeVariable(gpu, weight, new Float32Array(64));
      await failure(before);
      await expect(readVariable(gpu, weight)).rejects.toThrow(/no memory for weight, 256 bytes/);
      restore();
      expect((await readVariable(gpu, kept))[0]).toBe(5);
      expect((await readVariable(gpu, weight))[0]).toBe(3);
      restore = withoutMemoryFor(gpu, 'input x');
      const x = new Float32Array(64).fill(1);
      program.run({ x });
      await failure(before + 1);
      expect(() => program.run({ x })).toThrow(/no memory for input x, 256 bytes: free some/);
      restore();
      expect((await readVariable(gpu, kept))[0]).toBe(5);
      program.run({ x });
      expect((await program.read('y'))[0]).toBe(3);
      freeVariables(gpu, [weight, kept]);
    });
  });

  describe('is given back', () => {
    test('by 200 rounds of compile, run and destroy, with variables of their own', async () => {
      const round = async (i: number) => {
        const [weight, rate] = [
          new Variable('weight', [8], { init: () => new Float32Array(8).fill(i) }),
          (i % 8) / 1000,
        ];
        const x = input('x', [8]);
        const program = await compile(gpu, {
          outputs: { y: sum(mul(x, weight.tensor)) },
          // The rate stands in the kernel.
          updates: [{ variable: weight, value: add(weight.tensor, rate) }],
        });
        program.run({ x: new Float32Array(8).fill(1) });
        expect((await program.read('y'))[0]).toBe(8 * i);
        const readback = new Readback(gpu, () => program.outputRange('y'), 'f32');
        program.run({ x: new Float32Array(8) }, {}, (encoder) => readback.record(encoder));
        await readback.fetch();
        readback.destroy();
        program.destroy();
        freeVariables(gpu, [weight]);
      };
      await round(0);
      gpu.trim();
      const before = { ...held(gpu), shaders: gpu.compiledShaders };
      for (let i = 1; i <= 200; i++) await round(i);
      expect(held(gpu)).toEqual({ bytes: before.bytes, things: before.things });
      gpu.trim();
      expect(gpu.compiledShaders).toBe(before.shaders);
    });

    test('of the shaders that nothing uses, the latest 128 are kept', async () => {
      const device = {
        createBindGroupLayout: () => ({}),
        createPipelineLayout: () => ({}),
        createShaderModule: () => ({}),
        createComputePipelineAsync: async () => ({}),
        pushErrorScope: () => undefined,
        popErrorScope: async () => null,
      } as unknown as GPUDevice;
      const pipelines = new Pipelines(device, () => undefined);
      const made: GPUComputePipeline[] = [];
      for (let i = 0; i < 200; i++) {
        made.push(await pipelines.get(`// ${i}`, [true], `${i}`));
        pipelines.hold([made[i]!]);
      }
      pipelines.trim();
      expect(pipelines.size, 'what is used stays').toBe(200);
      for (const pipeline of made) pipelines.release([pipeline]);
      expect(pipelines.size).toBe(128);
      expect(await pipelines.get('// 199', [true], '199')).toBe(made[199]);
      expect(await pipelines.get('// 0', [true], '0')).not.toBe(made[0]);
    });

    test('but for shaders that are wanted again, or in use', async () => {
      gpu.trim();
      const before = gpu.compiledShaders;
      const graph = () => ({ outputs: { y: exp(mul(input('x', [12]), 1.25)) } });
      const program = await compile(gpu, graph());
      const { device } = gpu;
      const { createShaderModule } = device;
      let compiled = 0;
      device.createShaderModule = (descriptor) => {
        compiled++;
        return createShaderModule.call(device, descriptor);
      };
      const { outputs } = graph();
      for (let i = 0; i < 3; i++) await evaluate(gpu, outputs, { x: new Float32Array(12) });
      gpu.trim();
      await evaluate(gpu, outputs, { x: new Float32Array(12) });
      expect(compiled).toBe(0);
      program.destroy();
      program.destroy();
      gpu.trim();
      expect(gpu.compiledShaders).toBe(before);
      await evaluate(gpu, outputs, { x: new Float32Array(12) });
      expect(compiled).toBe(1);
      device.createShaderModule = createShaderModule;
    });
  });
});
