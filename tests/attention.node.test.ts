// Attention and its gradients as GPUs compute them, by a workgroup for a block of rows, run by an interpreter of their WGSL, in Node
// without a device: what they compute, what a warp's loads and stores look like, and where the rule takes them.
import { expect, test } from 'vitest';
import { readAdapter } from '../src/cli/profile/adapter.ts';
import { outlineOf } from '../src/graph/link.ts';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { possibleVariants } from '../src/graph/variants.ts';
import { bytesOfType } from '../src/graph/workgroup_memory.ts';
import * as attention from '../src/ops/attention.ts';
import { type AttentionAttrs, attentionReference, gradientReferences } from '../src/ops/attention_reference.ts';
import { input } from '../src/ops/source.ts';
import { type AdapterTraits, applyAll, DEFAULT_LIMITS, type NdArray, type Op, type Tensor } from '../src/ops/tensor.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { randomFrom } from './numbers.ts';
import { sampled } from './sampled.ts';
import { interpret } from './wgsl/interpret.ts';
import { conflicts, fetchedPerByte, type Instruction, instructionsOf } from './wgsl/warp.ts';

const GPU: AdapterTraits = { software: false, vendor: 'nvidia', subgroupSize: 32, f16: false, limits: DEFAULT_LIMITS };

const KERNELS = {
  forward: [attention.attentionOp, attention.maskedAttentionOp],
  'gradient of queries': [attention.attentionQueryGradientOp, attention.maskedAttentionQueryGradientOp],
  'gradient of keys and values': [attention.attentionKeyGradientOp, attention.maskedAttentionKeyGradientOp],
} as const;
type Kernel = keyof typeof KERNELS;
const ALONE = 'one thread a tile';
const BLOCKS = ['block of 64 rows a workgroup', 'block of 32 rows a workgroup'];

interface Sizes {
  readonly n?: number;
  readonly t: number;
  readonly s: number;
  readonly heads?: number;
  readonly size: number;
  readonly causal?: boolean;
  /** Which axes of the mask are whole; none without one. */
  readonly mask?: readonly [boolean, boolean, boolean, boolean];
  /** q, k and v are parts of rows of one matmul. */
  readonly packed?: boolean;
}

/** Operands of attention or a gradient, with numbers: the logsumexp and delta are those of the operands. */
function nodeOf(kernel: Kernel, { n = 1, t, s, heads = 1, size, causal = false, mask, packed = false }: Sizes) {
  const width = heads * size;
  const attrs: AttentionAttrs = {
    ...{ heads, size, causal, scale: Math.fround(1 / Math.sqrt(size)) },
    columns: packed ? [0, width, 2 * width] : [0, 0, 0],
  };
  const random = randomFrom(TEST_SEED);
  const drawn = (shape: readonly number[]): NdArray => ({
    shape,
    data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * random() - 1),
  });
  const wide = packed ? 3 * width : width;
  const operands = [t, s, s].map((rows) => drawn([n, rows, wide]));
  const masks = mask ? [drawn([n, heads, t, s].map((dim, i) => (mask[i] ? dim : 1)))] : [];
  const op = KERNELS[kernel][mask ? 1 : 0] as Op<AttentionAttrs>;
  const [y, lse] = attentionReference([...operands, ...masks], attrs) as [Float64Array, Float64Array];
  if (kernel === 'forward') return { op, attrs, data: [...operands, ...masks], expected: [y, lse] };
  const g = drawn([n, t, width]);
  const delta = lse.map((_, row) => {
    let sum = 0;
    for (let d = 0; d < size; d++) sum += g.data[row * size + d]! * y[row * size + d]!;
    return sum;
  });
  const rows = [lse, delta].map((data): NdArray => ({ shape: [n, t, heads], data }));
  const data = [...operands, g, ...rows, ...masks];
  const { dq, dkv } = gradientReferences(data, attrs);
  return { op, attrs, data, expected: [kernel === 'gradient of queries' ? dq : dkv] };
}

/** Runs a kernel's workgroups, or the first of them. */
function run(kernel: Kernel, block: string, sizes: Sizes, most = Infinity) {
  const { op, attrs, data, expected } = nodeOf(kernel, sizes);
  const inputs = data.map(({ shape }, i) => input(`x${i}`, shape));
  const results = applyAll(op, inputs, attrs);
  const outputs = Object.fromEntries(results.map((result, i) => [`y${i}`, result]));
  const choose = () => op.variants!.find(({ name }) => name === block) as never;
  const [planned] = [...kernelsOf(planGraph({ outputs, updates: [] }, GPU, { choose }))];
  const { lowered, code } = planned!;
  expect(lowered.variant).toBe(block);
  const shader = interpret(code);
  const declared = [...code.matchAll(/@binding\((\d+)\) var<[^>]*> (\w+)/g)];
  const names = declared.sort((a, b) => Number(a[1]) - Number(b[1])).map(([, , name]) => name!);
  const storage = new Map(
    lowered.bindings.map(({ tensor }, i) => {
      const known = data[inputs.indexOf(tensor as never)];
      return [names[i]!, known ? [...known.data] : new Array<number>(tensor.size).fill(NaN)] as const;
    }),
  );
  const [width, height] = lowered.workgroups;
  const traces = Array.from({ length: Math.min(most, width * height) }, (_, i) =>
    shader.run(storage, [i % width, Math.floor(i / width), 0], lowered.workgroups),
  );
  const found = lowered.bindings.flatMap(({ writable }, i) => (writable ? [storage.get(names[i]!)!] : []));
  return { found, expected, traces, shader, lowered };
}

/** Lengths that fill no block, queries that are not as many as keys, heads of few numbers and of more than a piece has. */
const FORMS: Readonly<Record<string, Sizes>> = {
  'causal, heads of 64': { t: 70, s: 70, size: 64, causal: true },
  'causal, heads of 20 in rows of one matmul': { t: 37, s: 37, heads: 2, size: 20, causal: true, packed: true },
  'causal, more keys than queries': { t: 9, s: 75, heads: 2, size: 32, causal: true },
  'causal, more queries than keys': { t: 75, s: 9, heads: 2, size: 4, causal: true },
  'heads of 128': { t: 33, s: 41, size: 128 },
  'heads of 72, in pieces of six': { t: 5, s: 3, size: 72 },
  'one query': { t: 1, s: 70, heads: 2, size: 32 },
  'one key': { t: 66, s: 1, size: 4 },
  'a mask of all, rows that see no key': { n: 2, t: 6, s: 4, heads: 2, size: 4, mask: [true, true, true, true] },
  'a mask of keys': { n: 2, t: 5, s: 35, size: 20, mask: [true, false, false, true] },
  'a mask of rows and heads, causal': {
    t: 40,
    s: 40,
    heads: 2,
    size: 32,
    causal: true,
    mask: [false, true, true, true],
  },
};

const KERNEL_NAMES = Object.keys(KERNELS) as Kernel[];
const cases = KERNEL_NAMES.flatMap((kernel) =>
  Object.entries(FORMS).flatMap(([form, sizes]) =>
    blocksOf(kernel, sizes.size).map((block) => [kernel, block, form] as const),
  ),
);

/** Names of the blocks that a kernel may have for heads of so many numbers: for many, large ones would want too many registers. */
function blocksOf(kernel: Kernel, size: number): string[] {
  return possibleVariants(bare(kernel, { t: 1, s: 1, size }), GPU)
    .map(({ name }) => name)
    .filter((name) => BLOCKS.includes(name));
}

/** A node without numbers. */
function bare(kernel: Kernel, { n = 1, t, s, heads = 1, size, causal = false }: Sizes): Tensor {
  const width = heads * size;
  const shapes = [t, s, s].map((rows) => [n, rows, width]);
  const gradient = [
    [n, t, width],
    [n, t, heads],
    [n, t, heads],
  ];
  const inputs = (kernel === 'forward' ? shapes : [...shapes, ...gradient]).map((shape, i) => input(`x${i}`, shape));
  const op = KERNELS[kernel][0] as Op<AttentionAttrs>;
  const [y] = applyAll(op, inputs, { heads, size, columns: [0, 0, 0], causal, scale: 1 });
  return (y!.op as unknown) === op ? y! : y!.inputs[0]!;
}

test.each(sampled(cases, 3))('%s by a %s: %s', (kernel, block, form) => {
  const { found, expected } = run(kernel, block, FORMS[form]!);
  expect(found).toHaveLength(expected.length);
  expected.forEach((values, i) => {
    expect(worst(found[i]!, values)).toBeLessThan(1e-9);
  });
});

function worst(found: readonly number[], expected: Float64Array): number {
  expect(found).toHaveLength(expected.length);
  // Relative, for the logsumexp of a row that sees no key.
  return Math.max(...found.map((value, i) => Math.abs(value - expected[i]!) / Math.max(1, Math.abs(expected[i]!))));
}

test.each(
  sampled(
    KERNEL_NAMES.flatMap((kernel) =>
      [32, 64].flatMap((size) => blocksOf(kernel, size).map((block) => [kernel, block, size] as const)),
    ),
    2,
  ),
)('a warp reads and stores side by side, and meets no bank twice: %s by a %s, heads of %i', (kernel, block, size) => {
  const rows = Number(/\d+/.exec(block)![0]);
  const { found, expected, traces, shader } = run(kernel, block, { t: rows, s: rows, size }, 1);
  expect(worst(found[0]!, expected[0]!)).toBeLessThan(1e-9);
  const all = instructionsOf(traces[0]!);
  const isStorage = ({ variable }: Instruction) => shader.places.get(variable)!.space === 'storage';
  const storage = all.filter(isStorage);
  const memory = all.filter((one) => !isStorage(one));
  // Logsumexp and delta are a number a row.
  const vec4s = storage.filter(({ variable }) => shader.places.get(variable)!.lanes === 4);
  expect(vec4s.length).toBeGreaterThan(8);
  expect(memory.length).toBeGreaterThan(64);
  expect(storage.length - vec4s.length).toBeLessThan(vec4s.length);
  // Eight threads have a line of memory, whole.
  expect(new Set(vec4s.map((one) => fetchedPerByte(one, 128)))).toEqual(new Set([1]));
  expect(new Set(memory.map(({ accesses }) => accesses[0]!.bytes))).toEqual(new Set([16]));
  expect(new Set(memory.map(conflicts))).toEqual(new Set([1]));
});

test('blocks of all sizes of heads stay within what every device allows', () => {
  for (const kernel of KERNEL_NAMES) {
    for (let size = 4; size <= 128; size += 4) {
      const node = bare(kernel, { t: 64, s: 64, size });
      for (const variant of possibleVariants(node, GPU)) {
        if (!BLOCKS.includes(variant.name)) continue;
        const { threads, shared } = outlineOf(variant.kernel(node, undefined as never));
        expect(threads).toBe(64);
        expect(shared.reduce((sum, type) => sum + bytesOfType(type), 0)).toBeLessThanOrEqual(
          DEFAULT_LIMITS.maxComputeWorkgroupStorageSize,
        );
      }
    }
  }
});

/** What the rule takes of a node. */
const taken = (kernel: Kernel, sizes: Sizes, traits: AdapterTraits) => {
  const node = bare(kernel, sizes);
  return possibleVariants(node, traits).find(({ heuristic }) => heuristic?.(node, traits) ?? true)!.name;
};

const [H100, M2] = ['h100', 'm2'].map((name) => traitsOf(readAdapter(name).gpu)) as [AdapterTraits, AdapterTraits];

test.each<[string, Sizes, readonly string[]]>([
  // Few workgroups of 64 rows would leave cores idle; in the backward pass they would leave too few registers.
  ['a step of gpt', { n: 12, t: 64, s: 64, heads: 4, size: 32, causal: true }, [BLOCKS[1]!, BLOCKS[1]!, BLOCKS[1]!]],
  ['long rows', { n: 8, t: 1024, s: 1024, heads: 12, size: 64, causal: true }, [BLOCKS[0]!, BLOCKS[1]!, BLOCKS[1]!]],
  // A thread that walks over all keys by itself would leave the rest of the adapter idle. Of the keys there are threads enough.
  ['one query of many keys', { n: 8, t: 1, s: 1024, heads: 12, size: 64 }, [BLOCKS[1]!, BLOCKS[1]!, ALONE]],
  ['little work', { t: 16, s: 16, heads: 2, size: 8 }, [ALONE, ALONE, ALONE]],
  // Of 32 rows and keys at a time, four would be wanted.
  ['many short rows', { n: 20_000, t: 4, s: 4, heads: 4, size: 16 }, [ALONE, ALONE, ALONE]],
])('on a GPU, %s', (_, sizes, expected) => {
  expect(KERNEL_NAMES.map((kernel) => taken(kernel, sizes, H100))).toEqual(expected);
});

test('where a thread has fewer registers, blocks are small', () => {
  const sizes = { n: 8, t: 1024, s: 1024, heads: 12, size: 64, causal: true };
  expect(KERNEL_NAMES.map((kernel) => taken(kernel, sizes, M2))).toEqual([BLOCKS[1], BLOCKS[1], BLOCKS[1]]);
});

test.each([4, 8])('on a CPU with subgroups of %i there are no blocks', (subgroupSize) => {
  const traits: AdapterTraits = { software: true, subgroupSize, f16: false, limits: DEFAULT_LIMITS };
  for (const kernel of KERNEL_NAMES) {
    const names = possibleVariants(bare(kernel, FORMS['causal, heads of 64']!), traits).map(({ name }) => name);
    expect(names).toEqual([...(subgroupSize === 4 ? ['one thread a tile, quad swaps'] : []), 'one thread a tile']);
  }
});
