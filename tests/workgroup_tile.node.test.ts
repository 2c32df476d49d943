// The tiles of matmul that go through workgroup memory, run by an interpreter of their WGSL, in Node without a device: what
// they compute, and what a warp's loads and stores look like, which is what a GPU's speed hangs on.

import { describe, expect, test } from 'vitest';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { possibleVariants } from '../src/graph/variants.ts';
import { kernels } from '../src/ops/kernels_all.ts';
import { matmulOp } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { type AdapterTraits, apply, DEFAULT_LIMITS, type NdArray, type Variant } from '../src/ops/tensor.ts';
import { workgroupTiles } from '../src/ops/workgroup_tile.ts';
import { randomFrom } from './numbers.ts';
import { sampled } from './sampled.ts';
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

const tiles = workgroupTiles.map(
  (variant) => [variant.name.replace('workgroup tile ', ''), variant as Variant] as const,
);

function kernelOf(variant: Variant, form: Form, [batch, m, n, k]: readonly number[], traits: AdapterTraits) {
  const [transposeA, transposeB] = FORMS[form];
  const shapes = [transposeA ? [k!, m!] : [m!, k!], transposeB ? [n!, k!] : [k!, n!]];
  const inputs = shapes.map((shape, i) => input(`x${i}`, batch! > 1 ? [batch!, ...shape] : shape));
  const y = apply(matmulOp, inputs, { transposeA, transposeB });
  expect(possibleVariants(y, { kernels, ...traits })).toContain(variant);
  const plan = planGraph({ outputs: { y }, updates: [] }, traits, { choose: () => variant });
  const [{ lowered, code }] = [...kernelsOf(plan)] as [
    ReturnType<typeof kernelsOf> extends Generator<infer T> ? T : never,
  ];
  return { y, inputs, lowered, shader: interpret(code) };
}

/** Runs a kernel's workgroups, or the first of them, on random numbers. */
function run(variant: Variant, form: Form, sizes: readonly number[], traits: AdapterTraits, most = Infinity) {
  const { y, inputs, lowered, shader } = kernelOf(variant, form, sizes, traits);
  const random = randomFrom(5);
  const data = inputs.map(
    ({ shape, size }): NdArray => ({ shape, data: Float64Array.from({ length: size }, () => random() - 0.5) }),
  );
  const storage = new Map(
    lowered.bindings.map(({ tensor }, i) => {
      const known = data[inputs.indexOf(tensor as (typeof inputs)[0])];
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

describe.each(sampled(tiles, 4))('%s', (_, variant) => {
  test.each(Object.keys(ADAPTERS))('computes what matmul is where no tile is filled, planned for %s', (adapter) => {
    const { DEPTH } = kernelOf(variant, 'NN', [1, 64, 64, 64], ADAPTERS[adapter]!).lowered.constants as Record<
      string,
      number
    >;
    // Of whole vec4s and, where the tile takes that, of others; k below a step and above one; two matmuls. Steps of slices are as
    // long as k wants them: of 172 there are two at least.
    const isSmall = variant.name.includes('4×4 a thread');
    const above = variant.name.includes('slices') ? 164 : DEPTH!;
    const cases: [Form, number[]][] = [
      ['TT', [2, 12, 28, 12]],
      isSmall ? ['NN', [1, 19, 18, above + 5]] : ['NN', [1, 36, 20, above + 8]],
    ];
    for (const [form, sizes] of adapter === 'nvidia' ? cases : cases.slice(1)) {
      const { result, expected } = run(variant, form, sizes, ADAPTERS[adapter]!);
      expect(worst(result, expected), `${form} ${sizes}`).toBeLessThan(1e-9);
    }
  });

  test.each(Object.keys(ADAPTERS))('a warp reads side by side, and meets no bank twice, planned for %s', (adapter) => {
    const sizes = [1, 256, 256, 256];
    const { constants } = kernelOf(variant, 'NN', sizes, ADAPTERS[adapter]!).lowered;
    const { TILE_M, TILE_N, DEPTH } = constants as Record<string, number>;
    // What differs between adapters does not depend on the form.
    for (const form of adapter === 'nvidia' ? (['NN', 'NT', 'TN'] as const) : (['NN'] as const)) {
      const { result, expected, traces, shader } = run(
        variant,
        form,
        [1, TILE_M!, TILE_N!, DEPTH!],
        ADAPTERS[adapter]!,
      );
      expect(worst(result, expected), form).toBeLessThan(1e-9);
      const all = instructionsOf(traces[0]!);
      const isStorage = ({ variable }: Instruction) => shader.places.get(variable)!.space === 'storage';
      // Every access is of 16 bytes, and what memory gives in one piece of 32 is wanted whole.
      expect(new Set(all.map(({ accesses }) => accesses[0]!.bytes))).toEqual(new Set([16]));
      const pieces = all.filter(isStorage).map((one) => fetchedPerByte(one, 32));
      expect(pieces.length).toBeGreaterThan(0);
      expect(Math.max(...pieces), `${form}: fetched for each byte that is wanted`).toBe(1);
      const turns = all.filter((one) => !isStorage(one)).map(conflicts);
      // Of 16 rows or columns, eight threads meet each bank twice.
      const most = Math.min(TILE_M!, TILE_N!) < 32 ? 2 : 1;
      expect(Math.max(...turns), `${form}: turns of an access to workgroup memory`).toBeLessThanOrEqual(most);
    }
  });
});

function worst(result: readonly number[], expected: ArrayLike<number>): number {
  expect(expected.length).toBeGreaterThan(0);
  return Math.max(...Array.from(expected, (value, i) => Math.abs(result[i]! - value)));
}
