// Dispatches that are put together for a GPU: side by side, in turn by one workgroup, and what is computed again instead of stored.
import { expect, test } from 'vitest';
import { readAdapter } from '../src/cli/profile/adapter.ts';
import { Compounds } from '../src/graph/compound.ts';
import { printExplained } from '../src/graph/explain.ts';
import type { Graph } from '../src/graph/graph.ts';
import { outlineOf } from '../src/graph/link.ts';
import { kernelsOf, type PlannedKernel, planGraph } from '../src/graph/plan.ts';
import { titleOf } from '../src/graph/print_schedule.ts';
import type { ChooseVariant } from '../src/graph/variants.ts';
import { bytesOfType, sharedBy } from '../src/graph/workgroup_memory.ts';
import { add, div, exp, isFinite, mul, sqrt, square, sub, where } from '../src/ops/elementwise.ts';
import { variantsOf } from '../src/ops/kernels_all.ts';
import { matmul } from '../src/ops/matmul.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input, Variable } from '../src/ops/source.ts';
import type { AdapterTraits, Tensor } from '../src/ops/tensor.ts';
import { pack, slice } from '../src/ops/view.ts';
import { traitsOf } from '../src/runtime/build.ts';

const GPU = traitsOf(readAdapter('h100').gpu);
const SOFTWARE: AdapterTraits = { ...GPU, software: true, subgroupSize: 4 };
const titles = (graph: Graph, adapter = GPU) => planGraph(graph, adapter).schedule.groups.map(titleOf);

/** Weights of two layers' worth of gradients, their norm, and an update that hangs on it. */
function step(): Graph {
  const [g, x] = [input('g', [64, 128]), input('x', [64, 256])];
  const gradient = pack([matmul(g, x, { transposeA: true }), sum(g, { axis: 0 }), sum(x, { axis: 0 })]);
  const squares = sum(square(gradient));
  const finite = isFinite(squares);
  const [weights, counter] = [new Variable('w', gradient.shape), new Variable('n', [])];
  const rate = div(0.1, add(sqrt(squares), counter.tensor));
  const next = where(finite, add(weights.tensor, mul(gradient, rate)), weights.tensor);
  return {
    outputs: { norm: sqrt(squares) },
    updates: [
      { variable: weights, value: next },
      { variable: counter, value: add(counter.tensor, finite) },
    ],
  };
}

test('gradients of weights and biases share a dispatch, and so does what their norm is for', () => {
  const [gradients, , partial, tail, update] = titles(step());
  expect(gradients).toMatch(/^side by side: (matmul|sum) \| (matmul|sum) \| (matmul|sum)$/);
  expect(partial).toMatch(/square\+sum/);
  expect(tail).toMatch(/sum\+.*isFinite/);
  expect(update).toMatch(/add\+.*where/);
  expect(titles(step())).toHaveLength(5);
});

test('on the CPU dispatches stay as they are', () => {
  const { groups } = planGraph(step(), SOFTWARE).schedule;
  expect(groups.filter(({ members }) => members)).toEqual([]);
});

test('parts of a pack are one binding, each at its place', () => {
  const [kernel] = [...kernelsOf(planGraph(step(), GPU))];
  expect(kernel!.lowered.bindings.filter(({ writable }) => writable)).toHaveLength(1);
  expect(kernel!.lowered.bindings).toHaveLength(3);
  // The biases' gradients begin behind the weights'.
  expect(kernel!.code).toMatch(/buffer\d+\[\(o \+ 8192u\)\]/);
  expect(kernel!.code).toMatch(/if \(at < \d+u\) .*\n *else if \(at < \d+u\)/);
});

test('what is small and waits for one another is computed by one workgroup, with barriers between', () => {
  const x = input('x', [8, 40]);
  const scale = sqrt(sum(square(x), { axis: 1 }));
  const total = sum(div(1, scale));
  const rows = mul(x, div(total, sum(x)));
  const plan = planGraph({ outputs: { rows, scale }, updates: [] }, GPU);
  const chain = plan.schedule.groups.findIndex(({ arrangement }) => arrangement === 'in turn');
  expect(chain).toBeGreaterThanOrEqual(0);
  expect(plan.schedule.groups.length).toBeLessThanOrEqual(3);
  const { code, lowered } = [...kernelsOf(plan)][chain]!;
  expect(lowered.workgroups).toEqual([1, 1, 1]);
  const members = plan.schedule.groups[chain]!.members!;
  expect(code.match(/storageBarrier\(\);/g)).toHaveLength(members.length - 1);
});

test('what one workgroup is too few for is no part of a chain', () => {
  const x = input('x', [4096, 64]);
  const total = sum(square(x));
  const { groups } = planGraph({ outputs: { y: div(x, sqrt(total)) }, updates: [] }, GPU).schedule;
  for (const { members = [] } of groups) expect(members.every(({ outputs }) => outputs[0]!.size <= 1024)).toBe(true);
  expect(groups.length).toBeGreaterThanOrEqual(2);
});

test('a cheap operand is computed where a matmul reads it, and an expensive or large one is stored', () => {
  const operand = (rows: number) => {
    const code = input('code', [rows, 40]);
    return add(slice(code, 1, 0, 20), exp(slice(code, 1, 20, 40)));
  };
  const product = (rows: number) => ({ outputs: { y: matmul(operand(rows), input('w', [20, 400])) }, updates: [] });
  expect(titles(product(128))).toHaveLength(1);
  expect(titles(product(128), SOFTWARE)).toHaveLength(2);
  expect(titles(product(65536))).toHaveLength(2);
});

test('why two do not share a dispatch is told', () => {
  const text = printExplained(planGraph(step(), GPU).schedule);
  expect(text).toMatch(/\n {2}- matmul by .*\n/);
  expect(text).toMatch(/must be complete before|must come before/);
  const schedule = planGraph(step(), {
    ...GPU,
    limits: { ...GPU.limits, maxStorageBuffersPerShaderStage: 8 },
  }).schedule;
  const few = { ...schedule, maxBuffers: 2 };
  const compounds = new Compounds(few, GPU);
  const members = schedule.groups.find(({ members }) => members)!.members!;
  expect(compounds.join(members.slice(0, 2), 'side by side')).toMatchObject({ kind: 'buffers', most: 2 });
  const crowd = Array.from({ length: 30 }, () => members[0]!);
  expect(compounds.join(crowd, 'side by side')).toMatchObject({ kind: 'members', count: 30 });
});

test('the outline of a kernel is read off its shader: products of constants, too', () => {
  const source = `const PARTS: u32 = 16;
const COLUMNS: u32 = 4;
var<workgroup> found: array<vec4f, (COLUMNS + COLUMNS) * PARTS / 4>;
@compute @workgroup_size(PARTS * COLUMNS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) { workgroupBarrier(); }`;
  const outline = outlineOf({ source, constants: { PARTS: 8 }, workgroups: [3, 1, 1] });
  expect(outline).toMatchObject({ threads: 32, isBound: true, isLinkable: true });
  expect(outline.shared.map(bytesOfType)).toEqual([256]);
  const other = source.replace('local_invocation_index) local: u32', 'subgroup_size) local: u32');
  expect(outlineOf({ source: other, constants: {}, workgroups: [1, 1, 1] }).isLinkable).toBe(false);
});

test('tiles of several forms, side by side, are one array of vec4s, and each finds its elements there', () => {
  const tile = (name: string) => (node: Tensor) => variantsOf(node.op).find((one) => one.name.startsWith(name))!;
  const [small, large] = [tile('workgroup tile 32×32, 4×4 a thread'), tile('workgroup tile 64×64, 8×8 a thread')];
  const product = (size: number) => matmul(input(`a${size}`, [size, 24]), input(`b${size}`, [24, size]));
  const choose: ChooseVariant = (node, possible) => {
    const wanted = (node.shape[0]! < 64 ? small : large)(node);
    return possible.find((one) => one === wanted);
  };
  const graph = { outputs: { y: product(32), z: product(64) }, updates: [] };
  const plan = planGraph(graph, GPU, { choose });
  expect(plan.schedule.groups).toHaveLength(1);
  const [{ code }] = [...kernelsOf(plan)] as [PlannedKernel];
  expect(code.match(/var<workgroup>/g)).toHaveLength(1);
  expect(code).toMatch(/var<workgroup> shared0: array<vec4f, \d+>;/);
  // Of one form they stay arrays of arrays, which drivers index without checks.
  const alike = planGraph({ outputs: { y: product(32), z: product(28) }, updates: [] }, GPU, { choose });
  expect([...kernelsOf(alike)][0]!.code).toMatch(/var<workgroup> shared0: array<array</);
});

test('what a thread would fold alone for longer than a dispatch takes lies beside others, not in a chain', () => {
  const rows = (length: number) => {
    const z = input('z', [20, length]);
    return sum(sub(add(square(z), exp(z)), add(z, 1)), { axis: 1 });
  };
  const chained = (length: number) =>
    planGraph({ outputs: { loss: mean(rows(length)) }, updates: [] }, GPU).schedule.groups.length;
  expect([chained(8), chained(60)]).toEqual([1, 2]);
});

test('an array of which a part is taken whole, or that is an index of itself, is not made flat', () => {
  const outline = (body: string) =>
    outlineOf({
      source: `var<workgroup> found: array<array<f32, 4>, 8>;\nfn f() { ${body} }`,
      constants: {},
      workgroups: [1, 1, 1],
    });
  expect(outline('found[1][2] = found[i][3];').byElement).toEqual([true]);
  expect(outline('let row = found[1];').byElement).toEqual([false]);
  expect(outline('found[u32(found[0][1])][2] = 1.0;').byElement).toEqual([false]);
  const flat = { shared: ['array<array<f32, 4>, 8>'], byElement: [true] };
  const whole = { shared: ['array<f32, 16>'], byElement: [true] };
  expect([...sharedBy([flat, whole]).values()]).toEqual([{ type: 'array<f32, 32>', isFlat: true }]);
});
