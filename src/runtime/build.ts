// From a graph to a Program: planned for the device, compiled by its driver, and allocated.
import { OptionError } from '../errors.ts';
import { SUBGROUP_SIZE_CONTROL } from '../gpu/adapter.ts';
import { Gpu } from '../gpu/gpu.ts';
import { type Graph, rootsOf, topological, type Update } from '../graph/graph.ts';
import { kernelsOf, type Plan, type PlanOptions, planGraph, prepareGraph } from '../graph/planner.ts';
import type { ChooseVariant } from '../graph/variants.ts';
import { type Input, inputOp } from '../ops/source.ts';
import { type AdapterTraits, Tensor } from '../ops/tensor.ts';
import type { Dispatch, Outputs } from './dispatch.ts';
import { kitOf, loadAllKernels, loadKit } from './kit.ts';
import { Program, type ProgramInput } from './program.ts';

/** What a program computes. */
export interface ProgramDescription<O extends Outputs = Outputs, I extends readonly Input[] = readonly Input[]> {
  /** Results by name. */
  readonly outputs?: O;
  /** Variables and what they hold after a run. */
  readonly updates?: readonly Update[];
  /** All its inputs: with these, TypeScript knows what `run` takes. One that is not named here is an error then. */
  readonly inputs?: I;
}

/** A description with how to compile it. */
export interface Work extends ProgramDescription {
  readonly storage?: 'f32' | 'f16';
}

/** Lanes that subgroups are asked for to have where they may have more or fewer. */
const USUAL = 32;

/** What plans go by; which kernels there are, too, once something was planned for the device. */
export function traitsOf(gpu: Gpu): AdapterTraits {
  const { software, vendor, subgroupSize, smallestSubgroup, largestSubgroup } = gpu.adapter;
  const pins = subgroupSize === 0 && gpu.has(SUBGROUP_SIZE_CONTROL) && smallestSubgroup > 0;
  const size = pins ? Math.min(largestSubgroup, Math.max(smallestSubgroup, USUAL)) : subgroupSize;
  return {
    software,
    vendor,
    subgroupSize: gpu.has('subgroups') ? size : 0,
    ...(pins && { pinsSubgroups: true }),
    f16: gpu.has('shader-f16'),
    limits: gpu.device.limits,
    kernels: kitOf(gpu)?.kernels,
  };
}

function inputsOf(graph: Graph, listed: readonly Input[] | undefined): Map<string, ProgramInput> {
  const inputs = new Map<string, ProgramInput>();
  const other = listed?.find((node) => node.op !== inputOp);
  if (other) throw new OptionError(`inputs of compile takes what input() made, got a result of ${other.op.name}`);
  for (const node of topological([...rootsOf(graph), ...(listed ?? [])])) {
    if (node.op !== inputOp) continue;
    const input = node.attrs as ProgramInput;
    const other = inputs.get(input.name);
    if (other && other !== input)
      throw new OptionError(
        `two inputs are called ${input.name}: make it once, and use the tensor wherever it is wanted`,
      );
    if (listed && !listed.includes(node as Input)) {
      throw new OptionError(`input ${input.name} is used, and is not among the inputs that compile was given`);
    }
    inputs.set(input.name, input);
  }
  return inputs;
}

/** The storage that a device offers of what is wanted. */
function storageOn(gpu: Gpu, wanted: Work['storage'] = 'f32'): 'f32' | 'f16' {
  if (wanted !== 'f32' && wanted !== 'f16') throw new OptionError(`storage is 'f32' or 'f16', got ${wanted}`);
  return gpu.has('shader-f16') ? wanted : 'f32';
}

/** @throws OptionError for what JavaScript lets through */
function checkDescription({ outputs = {}, updates = [] }: Work): void {
  for (const [name, value] of Object.entries(outputs)) {
    if (!(value instanceof Tensor)) throw new OptionError(`output ${name} of compile is no tensor`);
  }
  if (Array.isArray(updates)) return;
  const step = typeof updates === 'object' && 'updates' in updates;
  const cure = step ? ': spread what minimize returns, as in { outputs, ...optimizer.minimize(loss) }' : '';
  throw new OptionError(`updates of compile is no list${cure}`);
}

const graphOf = ({ outputs = {}, updates = [] }: ProgramDescription): Graph => ({ outputs, updates });

/** What `storage` asks for as a pass over the graph, loaded only then. */
async function transformFor(gpu: Gpu, description: Work): Promise<PlanOptions['transform']> {
  if (!(gpu instanceof Gpu))
    throw new OptionError('compile takes a Gpu first: Gpu.from(device), or await Gpu.request()');
  gpu.check();
  checkDescription(description);
  return storageOn(gpu, description.storage) === 'f16'
    ? (await import('../graph/mixed_precision.ts')).mixedPrecision
    : undefined;
}

/**
 * The graph as it is compiled: simplified, with long matmuls and reductions cut, and typed as it is stored.
 *
 * @throws OptionError for a description that says nothing, or twice
 */
export async function prepare(gpu: Gpu, description: Work): Promise<Graph> {
  const transform = await transformFor(gpu, description);
  return prepareGraph(graphOf(description), traitsOf(gpu), transform);
}

/** The dispatches that a description takes, with the variants of their kernels. Throws what `prepare` throws. */
export async function plan(gpu: Gpu, description: Work, choose?: ChooseVariant): Promise<Plan> {
  const transform = await transformFor(gpu, description);
  // Who chooses may take any kernel.
  const { passes } = await (choose ? loadAllKernels(gpu) : loadKit(gpu));
  return planGraph(graphOf(description), traitsOf(gpu), { choose, transform, passes });
}

/** Compiles what `plan` made of a description, without a check of unverified variants. */
export async function build(
  gpu: Gpu,
  description: Work,
  planned: Plan,
  warnings: readonly string[] = [],
): Promise<Program> {
  const graph = graphOf(description);
  const pending: Promise<Dispatch>[] = [];
  // Each kernel is with the driver before the next is written.
  for (const { lowered, code } of kernelsOf(planned)) {
    const writable = lowered.bindings.map((binding) => binding.writable);
    const pipeline = gpu.pipeline(code, writable, lowered.label).catch(async (error) => {
      const { explained } = await import('./refusal.ts');
      throw await explained(gpu, lowered, error);
    });
    pipeline.catch(() => undefined); // awaited below, after the others were begun
    pending.push(
      pipeline.then((pipeline) => ({ kernel: lowered, code, layout: gpu.bindGroupLayout(writable), pipeline })),
    );
  }
  const dispatches = await Promise.all(pending);
  const storage = storageOn(gpu, description.storage);
  const { memory, schedule } = planned;
  const parts = {
    storage,
    dispatches,
    memory,
    schedule,
    inputs: inputsOf(graph, description.inputs),
    names: graph.outputs,
    warnings,
  };
  let program: Program | undefined;
  try {
    return await gpu.guarded('the program', () => {
      program = new Program(gpu, parts);
      return program;
    });
  } catch (error) {
    program?.destroy();
    throw error;
  }
}
