// Checks unverified variants, which drivers may get wrong, against the plain one, once a device, before their results count.
import type { Gpu } from '../gpu/gpu.ts';
import type { Group } from '../graph/schedule.ts';
import { possibleVariants } from '../graph/variants.ts';
import type { Op, Tensor, Variant } from '../ops/tensor.ts';
import { traitsOf } from './build.ts';
import { agree, buildProbe, type Probe, probe } from './probe.ts';

const verdicts = new WeakMap<Gpu, Map<Variant, Promise<boolean>>>();

/** The unverified variants among those that a program's groups take whose results are wrong on this device. */
export async function refuted(gpu: Gpu, groups: readonly Group[]): Promise<Set<Variant>> {
  const known = verdicts.get(gpu) ?? new Map<Variant, Promise<boolean>>();
  verdicts.set(gpu, known);
  const users = new Map<Variant, Group[]>();
  for (const group of groups) {
    const { variant } = group;
    if (variant?.unverified) users.set(variant, [...(users.get(variant) ?? []), group]);
  }
  for (const [variant, takers] of users) if (!known.has(variant)) known.set(variant, isRight(gpu, variant, takers));
  const verdictOf = async (variant: Variant) => [variant, await known.get(variant)] as const;
  const found = await Promise.all([...users.keys()].map(verdictOf));
  return new Set(found.flatMap(([variant, right]) => (right ? [] : [variant])));
}

/** Whether nothing is fused to a group's op: then the op alone is the same kernel, and compiled already. */
function isBare({ kernelOps, outputs, reads }: Group): boolean {
  const [node] = kernelOps;
  return (
    kernelOps.length === 1 && outputs.length === 1 && outputs[0] === node && node!.inputs.every((x) => reads.has(x))
  );
}

/** What to try a variant on: the least that a program does by it, if nothing is fused to that, or else a sample of the op. */
function workOf(gpu: Gpu, op: Op, variant: Variant, groups: readonly Group[]): Probe | undefined {
  const nodes = groups.filter(isBare).map(({ kernelOps }) => kernelOps[0]!);
  const sizeOf = ({ size, inputs }: Tensor) => inputs.reduce((sum, x) => sum + x.size, size);
  const [node] = nodes.sort((a, b) => sizeOf(a) - sizeOf(b));
  if (node) return probe(node.op, node.inputs, node.attrs);
  const samples = (variant.probe ?? []).map(({ inputs, attrs }) => probe(op, inputs, attrs));
  return samples.find(({ result }) => possibleVariants(result, traitsOf(gpu)).includes(variant));
}

async function isRight(gpu: Gpu, variant: Variant, groups: readonly Group[]): Promise<boolean> {
  const { op } = groups[0]!.kernelOps[0]!;
  const sample = workOf(gpu, op, variant, groups);
  if (!sample) return true;
  const results = [variant, op.variants!.at(-1)!].map(async (one) => {
    const program = await buildProbe(gpu, sample, one);
    try {
      program.run(sample.data);
      return await program.read('y');
    } finally {
      program.destroy();
    }
  });
  const [unverified, plain] = await Promise.all(results);
  return agree(unverified!, plain!);
}
