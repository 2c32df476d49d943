// The tiles of matmul that go through workgroup memory, run by an interpreter of their WGSL, in Node without a device: what
// they compute, and what a warp's loads and stores look like, which is what a GPU's speed hangs on.
import { describe, expect, test } from 'vitest';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { possibleVariants } from '../src/graph/variants.ts';
import { matmulOp } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { type AdapterTraits, apply, DEFAULT_LIMITS, type NdArray, type Variant } from '../src/ops/tensor.ts';
import { workgroupTiles } from '../src/ops/workgroup_tile.ts';
import { randomFrom } from './numbers.ts';
import { interpret } from './wgsl/interpret.ts';
import { conflicts, fetchedPerByte, type Instruction, instructionsOf } from './wgsl/warp.ts';

const limits = { ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 49152 };
/** With loads a step ahead and two buffers, and without. */
const ADAPTERS: Readonly<Record<string, AdapterTraits>> = {
  nvidia: { software: false, vendor: 'nvidia', subgroupSize: 32, f16: false, limits },
  amd: { software: false, vendor: 'amd', subgroupSize: 0, f16: false, limits: DEFAULT_LIMITS },
};
const FORMS = { NN: [false, false], NT: [false, true], TN: [true, false], TT: [true, true] } as const;
type Form = keyof typeof FORMS;

const tiles = workgroupTiles.map((variant) => [variant.name.replace('workgroup tile ', ''), variant as Variant] as const);

function kernelOf(variant: Variant, form: Form, [batch, m, n, k]: readonly number[], traits: AdapterTraits) {
  const [transposeA, transposeB] = FORMS[form];
  const shapes = [transposeA ? [k!, m!] : [m!, k!], transposeB ? [n!, k!] : [k!, n!]];
  const inputs = shapes.map((shape, i) => input(`x${i}`, batch! > 1 ? [batch!, ...shape] : shape));
  const y = apply(matmulOp, inputs, { transposeA, transposeB });
  expect(possibleVariants(y, traits)).toContain(variant);
  const plan = planGraph({ outputs: { y }, updates: [] }, traits, { choose: () => variant });
  const [{ lowered, code }] = [...kernelsOf(plan)] as [ReturnType<typeof kernelsOf> extends Generator<infer T> ? T : never];
  return { y, inputs, lowered, shader: interpret(code) };
}

/** Runs a kernel's workgroups, or the first of them, on random numbers. */
function run(variant: Variant, form: Form, sizes: readonly number[], traits: AdapterTraits, most = Infinity) {
  const { y, inputs, lowered, shader } = kernelOf(variant, form, sizes, traits);
  const random = randomFrom(5);
  const data = inputs.map(({ shape, size }): NdArray => ({ shape, data: Float64Array.from({ length: size }, () => random() - 0.5) }));
  const storage = new Map(
    lowered.bindings.map(({ tensor }, i) => {
      const known = data[inputs.indexOf(tensor)];
      return [`buffer${i}`, known ? [...known.data] : new Array<number>(tensor.size).fill(NaN)] as const;
    }),
  );
  const [x, width, z] = lowered.workgroups;
  const traces = Array.from({ length: Math.min(most, x * width * z) }, (_, i) =>
    shader.run(storage, [i % x, Math.floor(i / x) % width, Math.floor(i / (x * width))], lowered.workgroups),
  );
  const result = storage.get(`buffer${lowered.bindings.findIndex(({ writable }) => writable)}`)!;
  const expected = matmulOp.check ? (matmulOp.check.reference!(data, y.attrs as never, y.shape) as Float64Array) : [];
  return { result, expected, traces, shader };
}

/** Sizes that no tile divides, with k below a step, above one, and no whole vec4s where the tile takes that. */
const ODD: readonly (readonly [Form, readonly number[]])[] = [
  ['NN', [1, 36, 44, 68]],
  ['NT', [2, 20, 36, 12]],
  ['TN', [1, 40, 20, 132]],
  ['TT', [1, 12, 28, 36]],
];

describe.each(tiles)('%s', (_, variant) => {
  test.each(Object.keys(ADAPTERS))('computes what matmul is, in every form, planned for %s', (adapter) => {
    const traits = ADAPTERS[adapter]!;
    const small = variant.name.includes('4×4 a thread');
    const uneven = [['NN', [1, 19, 18, 37]] as const, ['TT', [1, 17, 21, 67]] as const];
    const all = small ? [...ODD, ...uneven] : ODD;
    // What differs between adapters does not depend on the form.
    const cases = adapter === 'nvidia' ? all : all.slice(-1);
    for (const [form, sizes] of cases) {
      const { result, expected } = run(variant, form, sizes, traits);
      for (const [i, value] of expected.entries()) expect(Math.abs(result[i]! - value), `${form} ${sizes}, ${i}`).toBeLessThan(1e-9);
    }
  });

  test.each(Object.keys(ADAPTERS))('a warp reads side by side, and meets no bank twice, planned for %s', (adapter) => {
    const { TILE_M, TILE_N, DEPTH } = kernelOf(variant, 'NN', [1, 256, 256, 256], ADAPTERS[adapter]!).lowered.constants as Record<string, number>;
    for (const form of adapter === 'nvidia' ? (['NN', 'NT', 'TN'] as const) : (['NN'] as const)) {
      const { traces, shader } = run(variant, form, [1, TILE_M!, TILE_N!, DEPTH!], ADAPTERS[adapter]!, 1);
      const all = instructionsOf(traces[0]!);
      const storage = (one: Instruction) => shader.places.get(one.variable)!.space === 'storage';
      // Every access is of 16 bytes, and what memory gives in one piece of 32 is wanted whole.
      for (const one of all) expect(one.accesses[0]!.bytes).toBe(16);
      const whole = (one: Instruction) => fetchedPerByte(one, 32);
      for (const one of all.filter(storage)) expect(whole(one), `${form}: ${one.kind} ${one.variable}`).toBe(1);
      const banks = all.filter((one) => !storage(one)).map((one) => [one.kind, conflicts(one)] as const);
      for (const [kind, turns] of banks) expect(turns, `${form}: ${kind} of workgroup memory`).toBe(1);
    }
  });
});
