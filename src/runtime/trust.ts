// Checks variants that drivers may get wrong against the plain one, once a device, before their results count.
import type { Gpu } from '../gpu/gpu.ts';
import { type Graph, rootsOf, topological } from '../graph/graph.ts';
import { type ChooseVariant, pickVariant, possibleVariants } from '../graph/variants.ts';
import type { Op, Variant } from '../ops/tensor.ts';
import { agree, alone, buildAlone } from './alone.ts';
import { traitsOf } from './build.ts';

const verdicts = new WeakMap<Gpu, Map<Variant, Promise<boolean>>>();

/** The doubtful variants among those that a graph takes whose results are wrong on this device. */
export async function distrusted(gpu: Gpu, graph: Graph, choose?: ChooseVariant): Promise<Set<Variant>> {
  const known = verdicts.get(gpu) ?? new Map<Variant, Promise<boolean>>();
  verdicts.set(gpu, known);
  const traits = traitsOf(gpu);
  const used = new Set<Variant>();
  for (const node of topological(rootsOf(graph))) {
    if (!node.op.variants || node.size === 0) continue;
    const variant = pickVariant(node, traits, choose);
    if (!variant.doubtful) continue;
    used.add(variant);
    if (!known.has(variant)) known.set(variant, isRight(gpu, node.op, variant));
  }
  const verdictOf = async (variant: Variant) => [variant, await known.get(variant)] as const;
  const found = await Promise.all([...used].map(verdictOf));
  return new Set(found.flatMap(([variant, right]) => (right ? [] : [variant])));
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
