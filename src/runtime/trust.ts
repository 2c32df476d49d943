// Checks variants that drivers may get wrong against the plain one, once a device, before their results count.
import type { Gpu } from '../gpu/gpu.ts';
import { possibleVariants } from '../graph/variants.ts';
import type { Op, Variant } from '../ops/tensor.ts';
import { agree, alone, buildAlone } from './alone.ts';
import { traitsOf } from './build.ts';
import type { Dispatch } from './dispatch.ts';

const verdicts = new WeakMap<Gpu, Map<Variant, Promise<boolean>>>();

/** The doubtful variants among those of a program whose results are wrong on this device. */
export async function distrusted(gpu: Gpu, dispatches: readonly Dispatch[]): Promise<Set<Variant>> {
  const known = verdicts.get(gpu) ?? new Map<Variant, Promise<boolean>>();
  verdicts.set(gpu, known);
  const used = new Map<Variant, Op>();
  for (const { kernel } of dispatches) {
    if (kernel.variantOf?.doubtful) used.set(kernel.variantOf, kernel.group.heavies[0]!.op);
  }
  for (const [variant, op] of used) if (!known.has(variant)) known.set(variant, isRight(gpu, op, variant));
  const wrong = new Set<Variant>();
  for (const variant of used.keys()) if (!(await known.get(variant))) wrong.add(variant);
  return wrong;
}

async function isRight(gpu: Gpu, op: Op, variant: Variant): Promise<boolean> {
  const samples = (op.samples ?? []).map(({ inputs, attrs }) => alone(op, inputs, attrs));
  const sample = samples.find(({ result }) => possibleVariants(result, traitsOf(gpu)).includes(variant));
  if (!sample) return true;
  const results = [variant, op.variants!.at(-1)!].map(async (one) => {
    const program = await buildAlone(gpu, sample, one);
    try {
      program.run(sample.data);
      return await program.read('y');
    } finally {
      program.destroy();
    }
  });
  const [doubtful, plain] = await Promise.all(results);
  return agree(doubtful!, plain!);
}
