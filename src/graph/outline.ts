// What a group's kernel is before its hooks are written: its shader, workgroups and threads, by which dispatches become one.
import type { AdapterTraits, Kernel, KernelWriter, Tensor } from '../ops/tensor.ts';
import { type Arrangement, link as linkKernels, type Outline, outlineOf } from './link.ts';
import { gridOf, pointwise } from './lower.ts';
import type { Group } from './schedule.ts';

/** Threads of one workgroup, of those that its kernels let it choose. */
export const WORKGROUP = 256;

/** Gives a kernel everything but the bodies of its hooks. */
class Outliner implements KernelWriter {
  readonly traits: AdapterTraits;
  readonly nodes: readonly Tensor[];
  readonly storesBare = false;

  constructor(nodes: readonly Tensor[], traits: AdapterTraits) {
    this.nodes = nodes;
    this.traits = traits;
  }

  load = () => '';
  loadEach = () => '';
  store = () => '';
  copyWords = () => '';

  grid(workgroups: number): [number, number, number] {
    return gridOf(workgroups, this.traits);
  }
}

/** A group's kernel by its shader, constants and workgroups; what its hooks do is not written yet. */
export function outline(group: Group, traits: AdapterTraits): Outline {
  return outlineOf(outlineKernel(group, traits));
}

function outlineKernel(group: Group, traits: AdapterTraits): Kernel {
  const { members, link, kernelOps, variant } = group;
  if (members)
    return link!(
      members.map((member) => outlineKernel(member, traits)),
      traits,
    );
  const writer = new Outliner(kernelOps, traits);
  return variant ? variant.kernel(kernelOps[0]!, writer) : pointwise(group, writer);
}

/** How kernels become one in an arrangement. */
export function linkAs(arrangement: Arrangement): Group['link'] & {} {
  return (kernels, traits) => {
    const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = traits.limits;
    const most = Math.min(WORKGROUP, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX);
    return linkKernels(kernels, arrangement, most, (workgroups) => gridOf(workgroups, traits));
  };
}
