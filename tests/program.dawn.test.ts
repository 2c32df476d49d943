// What a program promises about memory that it shares with an app, on lavapipe in Node.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { OptionError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { add, exp, mul, toF32 } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { input, packVariables, Variable } from '../src/ops/source.ts';
import { pack, reshape } from '../src/ops/view.ts';
import { compile } from '../src/runtime/compile.ts';
import { copyOut } from '../src/runtime/readback.ts';
import { freeVariables, readVariable, writeVariable } from '../src/runtime/variables.ts';
import { Calls } from './calls.ts';

const missing = inject('withoutLavapipe');

describe.skipIf(missing)('programs and the memory of an app', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    await startDawn('lavapipe');
    gpu = await Gpu.request();
  });
  afterAll(() => gpu?.destroy());

  const made: GPUBuffer[] = [];
  afterAll(() => {
    for (const buffer of made) buffer.destroy();
  });
  const STORAGE = 0x80;
  const COPY_SRC = 0x04;
  const COPY_DST = 0x08;
  /** A buffer of the app, filled with a number that no test computes. */
  function appBuffer(length: number, usage = STORAGE | COPY_SRC | COPY_DST): GPUBuffer {
    const buffer = gpu.device.createBuffer({ size: length * 4, usage, mappedAtCreation: true });
    new Float32Array(buffer.getMappedRange()).fill(-7);
    buffer.unmap();
    made.push(buffer);
    return buffer;
  }
  const readBuffer = async (buffer: GPUBuffer) =>
    Array.from(await copyOut(gpu, { buffer, offset: 0, size: buffer.size }, 'f32'));

  test('a pack goes to a buffer of the app with its parts where they belong, and zeros between them', async () => {
    const x = input('x', [4]);
    using program = await compile(gpu, { outputs: { y: pack([mul(x, 2), sum(x)]) } });
    const y = appBuffer(128);
    program.run({ x: Float32Array.of(1, 2, 3, 4) }, { outputs: { y } });
    const wanted = new Array<number>(128).fill(0);
    wanted.splice(0, 4, 2, 4, 6, 8);
    wanted[64] = 10;
    expect(await readBuffer(y)).toEqual(wanted);
    const plain = appBuffer(128, STORAGE | COPY_SRC);
    expect(() => program.run({ x: new Float32Array(4) }, { outputs: { y: plain } })).toThrow(/y is a pack.*COPY_DST/);
  });

  test('of two outputs of one value, one may go to a buffer of the app, and the other is read as ever', async () => {
    const x = input('x', [4]);
    using program = await compile(gpu, { outputs: { a: exp(x), b: exp(x), c: reshape(exp(x), [2, 2]) } });
    const wanted = [1, Math.fround(Math.E)];
    for (const name of ['a', 'b', 'c'] as const) {
      const mine = appBuffer(4);
      program.run({ x: Float32Array.of(0, 1, 0, 1) }, { outputs: { [name]: mine } });
      for (const other of (['a', 'b', 'c'] as const).filter((one) => one !== name)) {
        const values = await program.read(other);
        expect(values[0], `${other}, with ${name} given`).toBeCloseTo(wanted[0]!, 5);
        expect(values[1]).toBeCloseTo(wanted[1]!, 5);
      }
      expect((await readBuffer(mine))[1]).toBeCloseTo(Math.E, 5);
    }
    const blind = appBuffer(4, STORAGE);
    program.run({ x: new Float32Array(4) }, { outputs: { b: blind } });
    await expect(program.read('a')).rejects.toThrow(/output a is in a buffer of the app without COPY_SRC/);
    const both = { a: appBuffer(4), c: appBuffer(4) };
    expect(() => program.run({ x: new Float32Array(4) }, { outputs: both })).toThrow(/same value as output a/);
    program.run({ x: new Float32Array(4) });
    expect(Array.from(await program.read('b'))).toEqual([1, 1, 1, 1]);
  });

  test('outputs that are bytes come whole', async () => {
    const bytes = new Variable('bytes', [7], { dtype: 'u8', init: () => Uint8Array.of(9, 8, 7, 6, 5, 4, 255) });
    const given = input('given', [5], 'u8');
    using program = await compile(gpu, { outputs: { bytes: bytes.tensor, given, line: reshape(given, [1, 5]) } });
    program.run({ given: Uint8Array.of(1, 2, 3, 4, 250) });
    expect(Array.from(await program.read('bytes'))).toEqual([9, 8, 7, 6, 5, 4, 255]);
    for (const name of ['given', 'line'] as const)
      expect(Array.from(await program.read(name))).toEqual([1, 2, 3, 4, 250]);
    expect(program.outputRange('bytes').size).toBe(28);
    // Into buffers of the app they go in words, too.
    const buffer = (size: number) => gpu.device.createBuffer({ size, usage: 0x80 | 0x04 | 0x08 });
    const [short, words, input5] = [buffer(8), buffer(20), buffer(5)] as const;
    const run = (to: GPUBuffer, from: GPUBuffer | Uint8Array) =>
      program.run({ given: from as Uint8Array }, { outputs: { given: to } });
    expect(() => run(short, Uint8Array.of(1, 2, 3, 4, 250))).toThrow(
      'output given is u32[5], 20 bytes; the buffer given has 8',
    );
    expect(() => run(words, input5)).toThrow('input given is u8[5], 8 bytes; the buffer given has 5');
    run(words, Uint8Array.of(1, 2, 3, 4, 250));
    const read = await copyOut(gpu, { buffer: words, offset: 0, size: 20 }, 'u32');
    expect(Array.from(read)).toEqual([1, 2, 3, 4, 250]);
    freeVariables(gpu, [bytes]);
  });

  test('updates that overlap in memory are refused, and those of neighbours are not', async () => {
    const [a, b] = [new Variable('a', [4]), new Variable('b', [4])];
    const flat = packVariables('flat', [a, b]);
    const updates = (...variables: Variable[]) =>
      variables.map((variable) => ({ variable, value: add(variable.tensor, 10) }));
    await expect(compile(gpu, { updates: updates(flat, b) })).rejects.toThrow(
      /updates of flat and b overlap in memory/,
    );
    await expect(compile(gpu, { updates: updates(a, flat) })).rejects.toThrow(OptionError);
    using program = await compile(gpu, { updates: updates(a, b) });
    program.run();
    expect(Array.from(await readVariable(gpu, b))).toEqual([10, 10, 10, 10]);
    freeVariables(gpu, [flat]);
  });

  test('an empty variable at the end of a block is read, written and used', async () => {
    const [full, empty] = [new Variable('full', [64]), new Variable('empty', [0])];
    const flat = packVariables('flat', [full, empty]);
    expect(await readVariable(gpu, empty)).toEqual(new Float32Array(0));
    writeVariable(gpu, empty, new Float32Array(0));
    using program = await compile(gpu, { outputs: { y: sum(add(empty.tensor, 1)) } });
    program.run();
    expect(Array.from(await program.read('y'))).toEqual([0]);
    freeVariables(gpu, [flat]);
  });

  test('buffers that a run would read and write at once are refused', async () => {
    const x = input('x', [4]);
    const v = new Variable('v', [64]);
    using program = await compile(gpu, {
      outputs: { y: mul(x, 2), z: add(x, 1), v: v.tensor },
      updates: [{ variable: v, value: add(v.tensor, 1) }],
    });
    const shared = appBuffer(4);
    expect(() => program.run({ x: shared }, { outputs: { y: shared } })).toThrow(
      /y cannot go to a buffer that is bound/,
    );
    const data = new Float32Array(4);
    expect(() => program.run({ x: data }, { outputs: { y: shared, z: shared } })).toThrow(/z cannot go to a buffer/);
    program.run({ x: data });
    const own = program.outputRange('y').buffer;
    expect(() => program.run({ x: own })).toThrow(/input x cannot be memory of the program's own/);
    expect(() => program.run({ x: data }, { outputs: { z: own } })).toThrow(/output z cannot be memory of the program/);
    using other = await compile(gpu, {
      outputs: { w: add(v.tensor, 0) },
      updates: [{ variable: v, value: exp(v.tensor) }],
    });
    other.run();
    using copy = await compile(gpu, {
      updates: [{ variable: v, value: add(v.tensor, 1) }],
      outputs: { n: add(v.tensor, 1) },
    });
    const memory = copy.outputRange('n').buffer;
    expect(() => program.run({ x: memory })).toThrow(/input x cannot be the memory of variable v: give it a buffer/);
    expect(() => program.run({ x: data }, { outputs: { y: memory } })).toThrow(
      /output y cannot be the memory of variable v/,
    );
    gpu.check();
    freeVariables(gpu, [v]);
  });

  test('a program goes on with variables that were freed and come anew', async () => {
    const v = new Variable('v', [4], { init: () => Float32Array.of(1, 2, 3, 4) });
    using program = await compile(gpu, { updates: [{ variable: v, value: add(v.tensor, 1) }] });
    program.run();
    freeVariables(gpu, [v]);
    program.run();
    expect(Array.from(await readVariable(gpu, v))).toEqual([2, 3, 4, 5]);
    freeVariables(gpu, [v]);
  });

  describe('encode', () => {
    const affine = () => compile(gpu, { outputs: { y: add(mul(toF32(input('x', [5], 'u8')), 2), 1) } });
    const bytes = (value: number) => new Uint8Array(5).fill(value);

    test('twice with arrays before one submit computes each from its own', async () => {
      using program = await affine();
      const encoder = gpu.device.createCommandEncoder();
      const [first, second] = [appBuffer(5), appBuffer(5)];
      program.encode(encoder, { x: bytes(1) }, { outputs: { y: first } });
      program.encode(encoder, { x: bytes(2) }, { outputs: { y: second } });
      gpu.device.queue.submit([encoder.finish()]);
      const read = async (buffer: GPUBuffer) => Array.from(await copyOut(gpu, { buffer, offset: 0, size: 20 }, 'f32'));
      expect(await read(first)).toEqual([3, 3, 3, 3, 3]);
      expect(await read(second)).toEqual([5, 5, 5, 5, 5]);
    });

    test('is not disturbed by a run, nor by the order of submits', async () => {
      using program = await affine();
      const values: number[] = [];
      const encoders = [3, 4].map((value) => {
        const encoder = gpu.device.createCommandEncoder();
        program.encode(encoder, { x: bytes(value) });
        return encoder.finish();
      });
      program.run({ x: bytes(9) });
      for (const commands of [encoders[1]!, encoders[0]!]) {
        gpu.device.queue.submit([commands]);
        values.push((await program.read('y'))[0]!);
      }
      expect(values).toEqual([9, 7]);
    });

    test('uses its memory again, and gives it back', async () => {
      const before = { bytes: gpu.allocatedBytes, things: gpu.allocations };
      const program = await affine();
      const most: number[] = [];
      for (let i = 0; i < 200; i++) {
        const encoder = gpu.device.createCommandEncoder();
        program.encode(encoder, { x: bytes(i % 256) });
        gpu.device.queue.submit([encoder.finish()]);
        expect((await program.read('y'))[0]).toBe(2 * i + 1);
        if (i > 20) most.push(gpu.allocations);
      }
      expect(Math.max(...most), 'it does not grow').toBeLessThan(before.things + 12);
      program.destroy();
      await gpu.device.queue.onSubmittedWorkDone();
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect({ bytes: gpu.allocatedBytes, things: gpu.allocations }).toEqual(before);
    });

    test('into an open pass takes buffers only', async () => {
      using program = await affine();
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      expect(() => program.encodePass(pass, { x: bytes(1) })).toThrow(/encodePass takes GPUBuffers/);
      const x = gpu.device.createBuffer({ size: 8, usage: STORAGE | COPY_DST });
      gpu.device.queue.writeBuffer(x, 0, Uint8Array.of(1, 1, 1, 1, 1, 0, 0, 0));
      program.encodePass(pass, { x });
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      expect(Array.from(await program.read('y'))).toEqual([3, 3, 3, 3, 3]);
      x.destroy();
    });

    test('a run in a loop makes nothing new, and copies by one call an array', async () => {
      using program = await affine();
      program.run({ x: bytes(1) });
      const calls = new Calls(gpu.device);
      for (let i = 0; i < 10; i++) program.run({ x: bytes(i) });
      calls.stop();
      expect(calls.created).toEqual([]);
      expect(calls.of('queue.writeBuffer')).toBe(10);
      expect([...calls.counts.keys()].filter((name) => /copy|clear/.test(name))).toEqual([]);
    });
  });
});
