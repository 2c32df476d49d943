// Which variant computes a heavy op: what the tuner found, or else the first that is possible and sensible.
import type { AdapterTraits, Tensor, Variant } from '../ops/tensor.ts';

/** Names a node's work, whatever graph it stands in: the tuner's key. */
export function signatureOf({ op, inputs, attrs }: Tensor): string {
  const shapes = inputs.map(({ dtype, shape }) => `${dtype}[${shape.join(',')}]`);
  return `${op.name} ${shapes.join(' ')} ${JSON.stringify(attrs)}`;
}

/** The variants that compute a node on an adapter. */
export function possibleVariants(node: Tensor, traits: AdapterTraits): Variant[] {
  const all = [...(traits.experimental?.get(node.op) ?? []), ...(node.op.variants ?? [])];
  return all.filter(({ possible }) => possible?.(node, traits) ?? true);
}

/** Chooses among variants; undefined leaves it to the rule. */
export type ChooseVariant = (node: Tensor, possible: readonly Variant[]) => Variant | undefined;

export function pickVariant(node: Tensor, traits: AdapterTraits, choose?: ChooseVariant): Variant {
  const possible = possibleVariants(node, traits);
  const chosen = choose?.(node, possible) ?? possible.find(({ sensible }) => sensible?.(node, traits) ?? true);
  if (!chosen) throw new Error(`no variant of ${node.op.name} is possible here`);
  return chosen;
}
