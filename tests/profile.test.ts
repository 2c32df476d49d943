// The profiler: what it says of a program's dispatches, and of shaders that somebody brings along.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { strokeDigits } from '../src/data/digits.ts';
import { OptionError, ShaderError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { matmul } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { compile } from '../src/runtime/compile.ts';
import { type Profile, traceOf } from '../src/runtime/profile.ts';
import { type ShaderSource, WgslError } from '../src/runtime/shader_compile.ts';
import { parseBindings, parseConstants, parseWorkgroups, valuesOf, viewOf } from '../src/runtime/shader_data.ts';
import { profileShaders } from '../src/runtime/shader_profile.ts';
import { countsFor } from '../src/runtime/timer.ts';
import { trainByName } from '../src/train/named.ts';
import { optionsFor } from './named_run.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await Gpu.request();
});
afterAll(() => gpu.destroy());

describe('the profile of a training step', () => {
  let profile: Profile;
  let before: Uint8Array[];
  let after: Uint8Array[];

  beforeAll(async () => {
    const options = optionsFor({ hidden: 24, latent: 3, batch: 16 });
    using trainer = await trainByName(gpu, strokeDigits({ seed: 1, train: 64, test: 1 }), options);
    for await (const { event } of trainer.train()) if (event === 'step') break;
    before = [await trainer.weights(), await trainer.checkpoint()];
    profile = await trainer.profile({ repeats: 3 });
    after = [await trainer.weights(), await trainer.checkpoint()];
  });

  test('leaves weights, moments and counters as they were', () => {
    expect(after).toEqual(before);
  });

  test('has a row for each dispatch, and totals that are made of them', () => {
    expect(profile.dispatches.length).toBeGreaterThan(5);
    for (const { label, variant, shapes, workgroups, ms, bytes, flops, share } of profile.dispatches) {
      expect(`${label}|${variant}`).toMatch(/^.+\|.+$/);
      expect(shapes).toMatch(/^[\d×]+( [\d×]+)* → [\d×]+( [\d×]+)*$/);
      expect(workgroups).toHaveLength(3);
      expect(Math.min(ms, flops, share)).toBeGreaterThanOrEqual(0);
      expect(bytes).toBeGreaterThan(0);
    }
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    expect(profile.dispatchMs).toBeCloseTo(sum(profile.dispatches.map(({ ms }) => ms)), 6);
    expect(profile.flops).toBe(sum(profile.dispatches.map(({ flops }) => flops)));
    expect(profile.gapMs).toBeCloseTo(profile.stepMs - profile.dispatchMs, 6);
    expect(profile.memory.peakBytes).toBeGreaterThanOrEqual(profile.memory.lowerBoundBytes);
    expect(profile.ceilings.gigaflops).toBeGreaterThan(0);
    expect(profile.ceilings.gigabytesPerSecond).toBeGreaterThan(0);
    expect(profile.timestamps).toBe(gpu.has('timestamp-query'));
  });

  test('becomes a trace of two tracks', () => {
    type Event = { ph: string; name: string; pid: number; tid: number; ts: number; dur: number };
    const { traceEvents } = JSON.parse(JSON.stringify(traceOf(profile))) as { traceEvents: Event[] };
    const complete = traceEvents.filter(({ ph }) => ph === 'X');
    expect(complete).toHaveLength(2 * profile.dispatches.length);
    for (const { name, ts, dur, pid, tid } of complete) {
      expect(name).not.toBe('');
      for (const number of [ts, dur, pid, tid]) expect(number).toEqual(expect.any(Number));
      expect(Math.min(ts, dur)).toBeGreaterThanOrEqual(0);
    }
    const named = traceEvents.filter(({ ph, name }) => ph === 'M' && name === 'thread_name');
    expect(named).toHaveLength(2);
    expect(new Set(complete.map(({ tid }) => tid))).toEqual(new Set(named.map(({ tid }) => tid)));
  });
});

test('a product makes 2·M·N·K operations, and moves its three matrices', async () => {
  const product = matmul(input('a', [40, 56]), input('b', [56, 24]));
  using program = await compile(gpu, { outputs: { product } });
  const inputs = { a: new Float32Array(40 * 56), b: new Float32Array(56 * 24) };
  const { dispatches, flops } = await program.profile(inputs, { repeats: 1 });
  expect(flops).toBe(2 * 40 * 24 * 56);
  expect(dispatches.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(4 * (40 * 56 + 56 * 24 + 40 * 24));
});

test('short work is repeated until a pass lasts as long as it must', async () => {
  const nothing = [{ record: () => {} }];
  expect((await countsFor(gpu, nothing, 1))[0]).toBeGreaterThan(1);
  // What a timestamp's tick is does not matter: a pass of a few microseconds is mostly its beginning and its end.
  expect((await countsFor(gpu, nothing))[0]).toBeGreaterThan(1);
});

const COUNT = 1024;
const double = `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> factors: vec4f;
override SIZE = 64;
@compute @workgroup_size(SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x] = factors.y * x[id.x];
}`;
const buffers = `0 read f32 ${COUNT} random # what is read\n\n1 read_write f32 ${COUNT}\n2 uniform f32 4 1 2 3 4`;
const shader = (code: string, constants = {}): ShaderSource => {
  return { name: 'the shader', code, constants, workgroups: [COUNT / 64, 1, 1] };
};
const profileOf = (...codes: string[]) => {
  const sources = codes.map((code) => shader(code));
  return profileShaders(gpu, sources, parseBindings(buffers), { repeats: 2, flops: COUNT });
};

describe('the profile of shaders', () => {
  test('tells times, bytes and shares of one', async () => {
    const before = gpu.allocations;
    const { shaders, bytes, comparison, ceilings } = await profileOf(double);
    expect(bytes).toBe(2 * 4 * COUNT + 16);
    expect(comparison).toBeUndefined();
    const [{ ms, minMs, maxMs, gigabytesPerSecond, copyShare, gigaflops }] = shaders as [(typeof shaders)[0]];
    expect(minMs).toBeLessThanOrEqual(ms);
    expect(maxMs).toBeGreaterThanOrEqual(ms);
    expect(gigabytesPerSecond).toBeCloseTo(bytes / ms / 1e6, 9);
    expect(copyShare).toBeCloseTo(gigabytesPerSecond / ceilings.gigabytesPerSecond, 9);
    expect(gigaflops).toBeCloseTo(COUNT / ms / 1e6, 9);
    expect(gpu.allocations).toBe(before);
  });

  test('says that equal shaders agree', async () => {
    const { comparison } = await profileOf(double, double.replace('factors.y *', '(factors.x + factors.x) *'));
    expect(comparison!.agree).toBe(true);
    expect(comparison!.buffers).toMatchObject([{ binding: 1, different: 0, changed: true, maxAbsolute: 0 }]);
    expect(comparison!.ratio).toBeGreaterThan(0);
  });

  test('says where different ones do not', async () => {
    const { comparison } = await profileOf(double, double.replace('= factors.y', '= select(2.0, 9.0, id.x == 77u)'));
    expect(comparison!.agree).toBe(false);
    const [difference] = comparison!.buffers;
    expect(difference).toMatchObject({ different: 1, wrong: 1, first: { index: 77 } });
    const [a, b] = difference!.first!.values;
    expect(b / a).toBeCloseTo(4.5, 5);
  });

  test('does not take for agreement that nothing was written', async () => {
    const nothing = double.replace('y[id.x] = factors.y * x[id.x];', '_ = y[0] + x[0] + factors.x;');
    const { comparison } = await profileOf(nothing, nothing);
    expect(comparison!.buffers).toMatchObject([{ changed: false }]);
  });

  test('starts every time from the contents described', async () => {
    const inPlace = double.replace('y[id.x] = factors.y * x[id.x];', 'y[id.x] += x[id.x] + factors.x;');
    const { comparison } = await profileOf(inPlace, double.replace('factors.y *', 'factors.x +'));
    expect(comparison!.agree).toBe(true);
  });

  test('sets override and const declarations', async () => {
    const code = double.replace('override', 'const SCALE: f32 = 1.0;\noverride').replace('= factors.y', '= SCALE');
    const sources = [shader(code, { SCALE: 3, SIZE: 32 }), shader(double)];
    const { comparison } = await profileShaders(gpu, sources, parseBindings(buffers.replace('1 2 3 4', '1 3 3 4')), {
      repeats: 1,
    });
    // Half of the threads of the second.
    expect(comparison!.buffers[0]!.first!.index).toBe(COUNT / 2);
  });

  test('shows the line that does not compile', async () => {
    const error = await profileOf(double.replace('x[id.x]', 'z[id.x]')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WgslError);
    expect((error as WgslError).complaints).toMatchObject([{ line: 7, text: 'y[id.x] = factors.y * z[id.x];' }]);
    expect((error as WgslError).message).toMatch(/^the shader: line 7, column \d+: unresolved value 'z'/);
  });

  test.each<[string, string, string, RegExp]>([
    ['a missing buffer', double, buffers.replace(/^2.*$/m, ''), /declares binding 2 as uniform, and no buffer/],
    ['a wrong access', double, buffers.replace('read_write', 'read'), /binding 1 as read_write; .* described as read/],
    ['another group', double.replace('@group(0) @binding(2)', '@group(1) @binding(2)'), buffers, /only .*@group\(0\)/],
    ['no entry point', 'fn main() {} // @compute', buffers, /no @compute function/],
    [
      'several entry points',
      '@compute @workgroup_size(1) fn a() {} @compute @workgroup_size(1) fn b() {}',
      buffers,
      /a, b/,
    ],
  ])('refuses %s', async (_, code, described, message) => {
    await expect(profileShaders(gpu, [shader(code)], parseBindings(described))).rejects.toThrow(message);
    gpu.check();
  });

  test('refuses what the device cannot do', async () => {
    const wide: ShaderSource = { ...shader(double), workgroups: [100_000, 1, 1] };
    await expect(profileShaders(gpu, [wide], parseBindings(buffers))).rejects.toThrow(OptionError);
    const unknown = shader(double, { WIDTH: 3 });
    await expect(profileShaders(gpu, [unknown], parseBindings(buffers))).rejects.toThrow(/no override or const WIDTH/);
    const huge = shader(double, { SIZE: 100_000 });
    await expect(profileShaders(gpu, [huge], parseBindings(buffers))).rejects.toThrow(ShaderError);
    gpu.check();
  });
});

describe('descriptions', () => {
  test('of buffers', () => {
    const [product, values, range] = parseBindings(
      '0 read f32 3*4 iota\n// none\n7 uniform i32 2, -1, 5\n2 read_write u32 9 random 3 6',
    );
    expect(product).toMatchObject({ binding: 0, access: 'read', type: 'f32', count: 12, fill: 'iota' });
    expect([...viewOf(product!, valuesOf(product!) as Uint8Array<ArrayBuffer>)]).toEqual([...Array(12).keys()]);
    expect(values).toMatchObject({ binding: 7, fill: [-1, 5] });
    expect(valuesOf(values!)).toHaveLength(16);
    for (const value of viewOf(range!, valuesOf(range!) as Uint8Array<ArrayBuffer>)) expect([3, 4, 5]).toContain(value);
  });

  test.each([
    ['', /no buffer is described/],
    ['0 read f32 4\nx read f32 4', /line 2: .*number of a binding; got "x"/],
    ['0 write f32 4', /access is one of read, read_write, uniform; got "write"/],
    ['0 read f64 4', /type is one of .*; got "f64"/],
    ['0 read f32 -4', /count of elements .* got "-4"/],
    ['0 read f32', /count of elements/],
    ['0 read f32 4 noise', /zeros, ones, iota, random; got "noise"/],
    ['0 read f32 4 1 2 3', /4 elements, and 3 values/],
    ['0 read f32 2 1 two', /"two" is not a number/],
    ['0 read f32 2 random 5 1', /only random takes numbers/],
    ['0 read f32 2\n0 read f32 2', /line 2: binding 0 is described twice/],
  ])('refuses %j', (text, message) => {
    expect(() => parseBindings(text)).toThrow(OptionError);
    expect(() => parseBindings(text)).toThrow(message);
  });

  test('of workgroups and constants', () => {
    expect(parseWorkgroups('64')).toEqual([64, 1, 1]);
    expect(parseWorkgroups(' 4, 5 ,6')).toEqual([4, 5, 6]);
    for (const text of ['', '0', '1,2,3,4', 'a', '1.5']) expect(() => parseWorkgroups(text)).toThrow(OptionError);
    expect(parseConstants('A=1, B = 2.5\nC=true')).toEqual({ A: 1, B: 2.5, C: true });
    for (const text of ['A', 'A=', 'A=x', '=3']) expect(() => parseConstants(text)).toThrow(OptionError);
  });
});
