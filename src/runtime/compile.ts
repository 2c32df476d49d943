// Compiles graphs: picks kernel variants that are known to be right on this driver, and the fastest where they were tuned.
import type { Gpu } from '../gpu/gpu.ts';
import { type MemoryNeed, memoryNeed } from '../graph/sizes.ts';
import type { ChooseVariant } from '../graph/variants.ts';
import type { Input } from '../ops/source.ts';
import { build, type ProgramDescription, plan, type Work } from './build.ts';
import type { InputsOf, OutputArray, Outputs } from './dispatch.ts';
import type { Program } from './program.ts';
import type { HostArray } from './readback.ts';
import type { TuneOptions } from './tune.ts';

export type { ProgramDescription } from './build.ts';

export interface CompileOptions {
  /** Overrules the choice of kernel variants. */
  readonly chooseVariant?: ChooseVariant;
  /** Measures the kernel variants for the graph's own shapes first, and remembers which is the fastest. */
  readonly tune?: boolean | TuneOptions;
  /**
   * How what products read of each other's results is stored: f32 by default. With `f16` memory and traffic halve, and
   * products still add up in f32; parameters, gradients, optimizer state and outputs stay f32. Where the device has no
   * `shader-f16`, it is f32 all the same: `program.storage` says which. Gradients too small for f16 want a `lossScale`.
   */
  readonly storage?: 'f32' | 'f16';
  /**
   * Activation checkpointing: names the part of a model that a module path belongs to, `h.0` of `transformer.h.0.attn`, say, if it is
   * one whose backward pass shall compute it again instead of reading what it kept. Memory falls to that of one part and what goes
   * into each; the forward pass of these parts is paid for twice. The results are the same to the bit.
   */
  readonly recompute?: ((path: string) => string | undefined) | undefined;
}

/**
 * Compiles a graph for a device. The inputs are those that the graph was built from; run, read and destroy the result.
 *
 * @throws ShaderError if the driver refuses a kernel, OutOfMemoryError if the memory planned is not to be had
 */
export async function compile<O extends Outputs = Outputs, const I extends readonly Input[] = readonly Input[]>(
  gpu: Gpu,
  graph: ProgramDescription<O, I>,
  { chooseVariant, tune: tuning, storage = 'f32', recompute }: CompileOptions = {},
): Promise<Program<O, InputsOf<I>>> {
  const description: Work = { ...(await checkpointed(graph, recompute)), storage };
  // Few programs are tuned; those that are not need not load the tuner.
  const tuner = tuning ? await import('./tune.ts') : undefined;
  const tuned = await tuner?.tune(gpu, description, tuning === true ? {} : tuning || {});
  const choose = chooseVariant ?? tuned?.choose;
  const planned = await plan(gpu, description, choose);
  let building = build(gpu, description, planned);
  if (planned.schedule.groups.some(({ variant }) => variant?.unverified)) {
    building.catch(() => undefined); // awaited in there
    const { validated } = await import('./validation.ts');
    building = validated(gpu, description, planned, building, choose);
  }
  return (await building) as unknown as Program<O, InputsOf<I>>;
}

/**
 * What a program would take in memory: planned, with nothing made on the device.
 *
 * @throws OutOfMemoryError if a tensor is larger than the device allows
 */
export async function memoryOf(
  gpu: Gpu,
  graph: ProgramDescription,
  { chooseVariant, storage = 'f32', recompute }: CompileOptions = {},
): Promise<MemoryNeed> {
  const description = { ...(await checkpointed(graph, recompute)), storage };
  return memoryNeed((await plan(gpu, description, chooseVariant)).memory);
}

/** What is compiled of a graph: see `CompileOptions.recompute`. Few programs ask for it; those that do not need not load how. */
export async function checkpointed<G extends ProgramDescription>(
  graph: G,
  recompute: CompileOptions['recompute'],
): Promise<G> {
  if (!recompute) return graph;
  const { checkpoint } = await import('../graph/checkpoint.ts');
  const { outputs = {}, updates = [] } = graph;
  return { ...graph, ...checkpoint({ outputs, updates }, recompute) };
}

/** What a program may be given for an input. */
export type InputData = HostArray | GPUBuffer;

/** Computes tensors once: compiles, runs, reads and destroys. For loops, compile and keep the Program. */
export async function evaluate<T extends Outputs>(
  gpu: Gpu,
  outputs: T,
  inputs: Readonly<Record<string, InputData>> = {},
  options: CompileOptions = {},
): Promise<{ [N in keyof T]: OutputArray<T[N]> }> {
  const program = await compile(gpu, { outputs }, options);
  try {
    program.run(inputs);
    const names = Object.keys(outputs);
    const values = await Promise.all(names.map((name) => program.read(name)));
    return Object.fromEntries(names.map((name, i) => [name, values[i]])) as unknown as {
      [N in keyof T]: OutputArray<T[N]>;
    };
  } finally {
    program.destroy();
  }
}
