// From a graph to a Program: simplify, split, fuse, plan memory, lower, specialise, compile, allocate.
import { OptionError, UnsupportedError } from '../errors.ts';
import { Gpu } from '../gpu/gpu.ts';
import { specialise } from '../gpu/specialise.ts';
import { fuse, type Group, type Schedule } from '../graph/fuse.ts';
import { type Graph, rootsOf, topological, type Update } from '../graph/graph.ts';
import { lower } from '../graph/lower.ts';
import { planMemory } from '../graph/memory.ts';
import { simplify, splitReductions } from '../graph/simplify.ts';
import { splitProducts } from '../graph/split.ts';
import type { ChooseVariant } from '../graph/variants.ts';
import { REDUCTION_WORKGROUP } from '../ops/reduce.ts';
import { inputOp } from '../ops/source.ts';
import { type AdapterTraits, show, Tensor } from '../ops/tensor.ts';
import type { Dispatch } from './dispatch.ts';
import { experimentalOf } from './experimental.ts';
import { Program, type ProgramInput } from './program.ts';

/** What a program computes. */
export interface ProgramDescription {
  /** Results by name. */
  readonly outputs?: Readonly<Record<string, Tensor>>;
  /** Variables and what they hold after a run. */
  readonly updates?: readonly Update[];
}

/** A description with how to compile it. */
export interface Work extends ProgramDescription {
  readonly storage?: 'f32' | 'f16';
}

/** Threads that keep an adapter busy: a reduction with fewer outputs is cut in two. */
const BUSY_SOFTWARE = 1024;
const BUSY_GPU = 8192;

/** Buffers one kernel binds at most, however many the device allows: more gain nothing. */
const MAX_BUFFERS = 16;

export function traitsOf(gpu: Gpu): AdapterTraits {
  const { software, subgroupSize } = gpu.adapter;
  return { software, subgroupSize: gpu.has('subgroups') ? subgroupSize : 0, experimental: experimentalOf(gpu) };
}

function check(graph: Graph): void {
  const seen = new Set<unknown>();
  for (const { variable, value } of graph.updates) {
    if (seen.has(variable)) throw new OptionError(`variable ${variable.name} is updated twice in one program`);
    seen.add(variable);
    const fits = value.dtype === variable.dtype && String(value.shape) === String(variable.shape);
    if (!fits) {
      throw new OptionError(
        `variable ${variable.name} is ${variable.dtype}${show(variable.shape)}, its update ${value.dtype}${show(value.shape)}`,
      );
    }
  }
}

function inputsOf(graph: Graph): Map<string, ProgramInput> {
  const inputs = new Map<string, ProgramInput>();
  for (const node of topological(rootsOf(graph))) {
    if (node.op !== inputOp) continue;
    const input = node.attrs as ProgramInput;
    const other = inputs.get(input.name);
    if (other && other !== input)
      throw new OptionError(
        `two inputs are called ${input.name}: make it once, and use the tensor wherever it is wanted`,
      );
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

/**
 * The graph as it is compiled: simplified, with long products and reductions cut, and typed as it is stored.
 *
 * @throws OptionError for a description that says nothing, or twice
 */
export async function prepare(gpu: Gpu, description: Work): Promise<Graph> {
  if (!(gpu instanceof Gpu))
    throw new OptionError('compile takes a Gpu first: Gpu.from(device), or await Gpu.request()');
  gpu.check();
  checkDescription(description);
  const { storage } = description;
  const graph = graphOf(description);
  if (rootsOf(graph).length === 0)
    throw new OptionError('there is nothing to compute: give compile outputs or updates');
  check(graph);
  const { software } = traitsOf(gpu);
  const busy = software ? BUSY_SOFTWARE : BUSY_GPU;
  // Cutting leaves reshapes behind.
  const cut = splitReductions(splitProducts(simplify(graph), busy), busy, software ? 1 : REDUCTION_WORKGROUP);
  const result = simplify(cut);
  const half = gpu.has('shader-f16') ? undefined : topological(rootsOf(result)).find(({ dtype }) => dtype === 'f16');
  if (half) {
    throw new UnsupportedError(
      `${half.path ? `${half.path}: ` : ''}${half.op.name} is f16${show(half.shape)}, and this device has no shader-f16: leave it f32`,
    );
  }
  if (storageOn(gpu, storage) === 'f32') return result;
  const { storeHalf } = await import('../graph/half.ts');
  return storeHalf(result);
}

/** The dispatches that a description takes. */
export async function plan(gpu: Gpu, description: Work): Promise<Schedule> {
  const graph = await prepare(gpu, description);
  return fuse(graph, Math.min(MAX_BUFFERS, gpu.device.limits.maxStorageBuffersPerShaderStage));
}

const isDispatched = ({ container, outputs }: Group) => !container && outputs[0]!.size > 0;

const graphOf = ({ outputs = {}, updates = [] }: ProgramDescription): Graph => ({ outputs, updates });

/** Compiles what `plan` made of a description, with given variants. */
export async function build(gpu: Gpu, description: Work, schedule: Schedule, choose?: ChooseVariant): Promise<Program> {
  const graph = graphOf(description);
  const memory = planMemory(schedule);
  const traits = traitsOf(gpu);
  // Each kernel is with the driver before the next is written.
  const dispatches = await Promise.all(
    schedule.groups.filter(isDispatched).map(async (group): Promise<Dispatch> => {
      const kernel = lower(group, memory, traits, choose);
      const code = specialise(kernel.source, kernel);
      const writable = kernel.bindings.map((binding) => binding.writable);
      const pipeline = await gpu.pipeline(code, writable, kernel.label).catch(async (error) => {
        const { explained } = await import('./refusal.ts');
        throw await explained(gpu, kernel, error);
      });
      return { kernel, code, layout: gpu.bindGroupLayout(writable), pipeline };
    }),
  );
  const storage = storageOn(gpu, description.storage);
  const parts = { storage, dispatches, memory, schedule, inputs: inputsOf(graph), names: graph.outputs };
  return gpu.guarded('the program', () => new Program(gpu, parts));
}
