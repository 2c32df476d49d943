// Checks unverified variants, which drivers may get wrong, against plainer kernels: once a device in each form in which they are
// used, before their results count. Loaded for programs that use one.
import { DeviceError, ShaderError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { describeForm, type Form, formOf, idOf } from '../graph/form.ts';
import { keyOfAllocation, lower } from '../graph/lower.ts';
import type { Allocation, MemoryPlan } from '../graph/memory.ts';
import type { Plan } from '../graph/plan.ts';
import type { Group, Sampling } from '../graph/schedule.ts';
import { type ChooseVariant, chooseVariants, possibleVariants } from '../graph/variants.ts';
import { add } from '../ops/elementwise.ts';
import { input, Variable } from '../ops/source.ts';
import { apply, applyAll, type DType, type Sample, type Tensor, type Variant } from '../ops/tensor.ts';
import { sliceOp } from '../ops/view.ts';
import { build, type Work } from './build.ts';
import { agree, values } from './probe.ts';
import type { Program } from './program.ts';
import type { HostArray } from './readback.ts';
import { freeVariables, readVariable } from './variables.ts';

/** Whether a variant is right in a form: by the numbers of both. */
const verdicts = new WeakMap<Gpu, Map<string, Promise<boolean>>>();
/** What the console was told of a device: once. */
const warned = new WeakMap<Gpu, Set<string>>();

/** A group is tried itself up to so many operations and elements: it then takes little time, and little memory beside the program's. */
const MOST_FLOPS = 2 ** 25;
const MOST_ELEMENTS = 2 ** 17;

/**
 * The program of a plan, with others in the place of unverified variants that prove wrong on this device, each in its form
 * alone. What takes the place is checked, too. Throws what `build` throws.
 *
 * @param building what `build` makes of the plan as it is
 */
export async function validated(
  gpu: Gpu,
  description: Work,
  first: Plan,
  building: Promise<Program>,
  choose?: ChooseVariant,
): Promise<Program> {
  const warnings: string[] = [];
  const wrong = new Map<string, Set<Variant>>();
  const isWrong = (group: Group, variant: Variant) => wrong.get(formOf(group).key)?.has(variant) ?? false;
  for (let plan = first, program = building; ; program = build(gpu, description, plan, warnings)) {
    const [built, checked] = await Promise.allSettled([program, refuted(gpu, plan)]);
    // A kernel that the driver refuses may be one of those that give way.
    const givesWay = checked.status === 'fulfilled' ? checked.value : new Set<Group>();
    const isRight = checked.status === 'fulfilled' && givesWay.size === 0;
    if (built.status === 'fulfilled' && isRight) return built.value;
    if (built.status === 'fulfilled') built.value.destroy();
    else if (givesWay.size === 0) throw built.reason;
    if (checked.status === 'rejected') throw checked.reason;
    for (const group of givesWay) {
      const { key } = formOf(group);
      wrong.set(key, (wrong.get(key) ?? new Set()).add(group.variant!));
    }
    const schedule = chooseVariants(plan.schedule, plan.adapter, choose, isWrong);
    plan.schedule.groups.forEach((group, i) => {
      if (!givesWay.has(group)) return;
      const what = `${group.kernelOps[0]!.op.name} by ${group.variant!.name}`;
      const line = `${gpu.name} computes ${what} wrongly (${describeForm(formOf(group))}): ${schedule.groups[i]!.variant!.name} takes its place`;
      if (warnings.includes(line)) return;
      warnings.push(line);
      const told = warned.get(gpu) ?? new Set<string>();
      if (!told.has(line)) console.warn(`glia: ${line}`);
      warned.set(gpu, told.add(line));
    });
    plan = { ...plan, schedule };
  }
}

/** The groups of a plan whose variant is wrong on this device. */
async function refuted(gpu: Gpu, plan: Plan): Promise<ReadonlySet<Group>> {
  const known = verdicts.get(gpu) ?? new Map<string, Promise<boolean>>();
  verdicts.set(gpu, known);
  const users = new Map<string, Group[]>();
  for (const group of plan.schedule.groups) {
    if (!group.variant?.unverified) continue;
    const key = `${idOf(group.variant)} ${formOf(group).key}`;
    users.set(key, [...(users.get(key) ?? []), group]);
  }
  for (const [key, groups] of users) {
    if (known.has(key)) continue;
    const verdict = isRight(gpu, plan, groups);
    known.set(key, verdict);
    // What hindered it (a lost device, too little memory) says nothing of the variant.
    verdict.catch(() => known.delete(key));
  }
  const wrong = await Promise.all([...users].map(async ([key, groups]) => ((await known.get(key)) ? [] : groups)));
  return new Set(wrong.flat());
}

const sizeOf = ({ outputs, reads }: Group) => [...outputs, ...reads.keys()].reduce((sum, { size }) => sum + size, 0);

/** Elements of a result that are compared, where the op has a plain definition: about so many. */
const SAMPLES = 2048;

/** Samples that meet every column of a result, and all of its rows that they are enough for. */
function samplingOf({ size, shape }: Tensor): Sampling {
  if (size <= 2 * SAMPLES) return { count: size, stride: 1 };
  const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));
  let stride = Math.floor(size / SAMPLES);
  while (commonDivisor(stride, shape.at(-1)!) > 1) stride--;
  return { count: Math.floor((size - 1) / stride) + 1, stride };
}

/** Tries a variant on the least of the groups that use it in one form, or on something smaller. */
async function isRight(gpu: Gpu, plan: Plan, groups: readonly Group[]): Promise<boolean> {
  const least = groups.reduce((a, b) => (sizeOf(b) < sizeOf(a) ? b : a));
  const isSmall = sizeOf(least) <= MOST_ELEMENTS && lower(least, plan.memory, plan.adapter).flops <= MOST_FLOPS;
  const small = isSmall ? undefined : smallGroup(least, plan);
  const places = small ? placesApart(small) : plan.memory.allocations;
  const group = small ?? least;
  const [{ op }] = group.kernelOps as [Tensor];
  const plain = op.plain && samplingOf(group.outputs[0]!);
  const reference: Group = plain
    ? { ...group, variant: undefined, plain }
    : { ...group, variant: op.variants!.at(-1)! };
  const actual = resultsOf(gpu, plan, { ...group, variant: least.variant }, places);
  actual.catch(() => undefined); // awaited below
  const expected = await resultsOf(gpu, plan, reference, places);
  const { count, stride } = plain ?? { count: group.outputs[0]!.size, stride: 1 };
  const chosen = (values: HostArray) => values.filter((_, i) => i % stride === 0 && i < count * stride);
  try {
    return (await actual).every((values, i) => agree(chosen(values), chosen(expected[i]!)));
  } catch (error) {
    // One that the driver refuses is as little use as one that computes nonsense.
    if (error instanceof ShaderError || error instanceof DeviceError) return false;
    throw error;
  }
}

/** Runs a group by itself, on memory of its own that is shared as in the program, so that its kernel is the program's. */
async function resultsOf(
  gpu: Gpu,
  plan: Plan,
  group: Group,
  places: ReadonlyMap<Tensor, Allocation>,
): Promise<HostArray[]> {
  const variables = new Map<string, Variable>();
  const placed = [...group.reads.keys(), ...group.outputs].map((tensor) => {
    const key = keyOfAllocation(places.get(tensor)!, tensor);
    const seed = variables.size;
    const { shape, dtype } = tensor;
    const variable =
      variables.get(key) ??
      new Variable(`validation ${seed}`, shape, { dtype, init: () => values(shape, dtype, seed) });
    variables.set(key, variable);
    return [tensor, variable] as const;
  });
  const targets = new Map(placed.slice(group.reads.size));
  const memory: MemoryPlan = {
    allocations: new Map(placed.map(([tensor, variable]) => [tensor, { kind: 'variable', variable }])),
    ...{ slots: [], peak: 0, packs: new Map(), lowerBound: 0 },
  };
  const schedule = { ...plan.schedule, groups: [group], targets, outputs: {} };
  try {
    const program = await build(gpu, {}, { ...plan, schedule, memory });
    try {
      program.run();
      return await Promise.all([...targets.values()].map((variable) => readVariable(gpu, variable)));
    } finally {
      program.destroy();
    }
  } finally {
    freeVariables(gpu, variables.values());
  }
}

/** Each tensor in memory of its own. */
function placesApart({ reads, outputs }: Group): Map<Tensor, Allocation> {
  const tensors = [...reads.keys(), ...outputs];
  return new Map(tensors.map((tensor, slot) => [tensor, { kind: 'slot', slot, offset: 0 }]));
}

/** A small group of the same form, by what the variant says that it may be tried on. */
function smallGroup(group: Group, { adapter }: Plan): Group | undefined {
  const form = formOf(group);
  const { variant, kernelOps } = group;
  const samples = (variant!.probe ?? []).filter(
    ({ inputs, attrs }) =>
      JSON.stringify(attrs) === form.attrs && inputs.every(({ shape }, i) => shape.length === form.operands[i]?.rank),
  );
  for (const sample of samples) {
    const small = groupOf(kernelOps[0]!, sample, form);
    if (possibleVariants(small.kernelOps[0]!, adapter).includes(variant!)) return small;
  }
  return undefined;
}

/** A group that reads through a view, and adds something behind the op, where the form has anything of the kind. */
function groupOf(like: Tensor, { inputs, attrs }: Sample, form: Form): Group {
  const leaves: Tensor[] = [];
  const leaf = (shape: readonly number[], dtype: DType) => {
    leaves.push(input(`x${leaves.length}`, shape, dtype));
    return leaves.at(-1)!;
  };
  const operands = inputs.map(({ shape }, i) => {
    const { dtype, stored, through } = form.operands[i]!;
    if (through.length === 0) return leaf(shape, stored[0]!);
    const starts = shape.map(() => 4);
    const whole = leaf(
      shape.map((size) => size + 4),
      stored[0]!,
    );
    return apply(sliceOp, [whole], { starts, sizes: shape }).with({ dtype });
  });
  const [first] = applyAll(like.op, operands, attrs) as [Tensor];
  const whole = first.inputs[0]?.results ? first.inputs[0] : first;
  const node = whole.with({ dtype: like.dtype });
  const outputs = form.isBare ? node.all : [add(node, leaf(node.shape, 'f32')).with({ dtype: form.results[0]! })];
  return { kernelOps: [node], outputs, reads: new Map(leaves.map((x) => [x, false])), inPlaceConcat: false };
}
