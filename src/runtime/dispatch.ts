// One dispatch of a program: what it was made from, and what is set to run it.
import type { Lowered } from '../graph/lower.ts';
import type { Input } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import type { ArrayOf, HostArray } from './readback.ts';

export interface Dispatch {
  readonly kernel: Lowered;
  /** The WGSL as the driver got it. */
  readonly code: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** One dispatch, ready to be recorded. */
export interface Command {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

export function record(pass: GPUComputePassEncoder, { pipeline, group, workgroups }: Command): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  const [x, y, z] = workgroups;
  // In Node each argument costs a tenth of a microsecond, and a step has dozens of dispatches.
  if (z > 1) pass.dispatchWorkgroups(x, y, z);
  else if (y > 1) pass.dispatchWorkgroups(x, y);
  else pass.dispatchWorkgroups(x);
}

/** Values by input name: typed arrays are copied to the GPU; the app's own buffers are used where they are. */
export type RunInputs = Readonly<Record<string, HostArray | GPUBuffer>>;

/** Outputs by name, as they were given to `compile`. */
export type Outputs = Readonly<Record<string, Tensor>>;

/** What a program takes, of the inputs that `compile` was told of. */
export type InputsOf<I extends readonly Input[]> = {
  readonly [T in I[number] as NonNullable<T['inputName']>]: ArrayOf<T['dtype']> | GPUBuffer;
};

/** What reading an output gives: bytes are widened to u32. */
export type OutputArray<T extends Tensor> = ArrayOf<
  'u8' extends T['dtype'] ? 'u32' | Exclude<T['dtype'], 'u8'> : T['dtype']
>;
