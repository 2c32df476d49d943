// One dispatch of a program: what it was made from, and what is set to run it.
import type { Lowered } from '../graph/lower.ts';
import type { HostArray } from './readback.ts';

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
  pass.dispatchWorkgroups(...workgroups);
}

/** Values by input name: typed arrays are copied to the GPU; the app's own buffers are used where they are. */
export type RunInputs = Readonly<Record<string, HostArray | GPUBuffer>>;
