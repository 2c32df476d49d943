// Which variant computes a kernel op: what the tuner found, or else the first that is possible and that its heuristic takes.
import type { AdapterTraits, Tensor, Variant, WorkgroupNeeds } from '../ops/tensor.ts';
import type { Group, Schedule } from './schedule.ts';

/** A node's work for people, whatever graph it stands in. */
export function signatureOf({ op, inputs, attrs }: Tensor): string {
  const shapes = inputs.map(({ dtype, shape }) => `${dtype}[${shape.join(',')}]`);
  return `${op.name} ${shapes.join(' ')} ${JSON.stringify(attrs)}`;
}

/** Whether a device allows a workgroup what it needs. */
function fits(needs: WorkgroupNeeds | undefined, { limits }: AdapterTraits): boolean {
  if (!needs) return true;
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupStorageSize } = limits;
  const most = Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX);
  return needs.threads <= most && needs.memory <= maxComputeWorkgroupStorageSize;
}

/** The variants that compute a node on an adapter. */
export function possibleVariants(node: Tensor, traits: AdapterTraits): Variant[] {
  const all = traits.kernels?.get(node.op) ?? node.op.variants ?? [];
  return all.filter(
    (variant) => (variant.possible?.(node, traits) ?? true) && fits(variant.needs?.(node, traits), traits),
  );
}

/** Chooses among variants; undefined leaves it to the heuristics. */
export type ChooseVariant = (node: Tensor, possible: readonly Variant[]) => Variant | undefined;

function chooseVariant(
  node: Tensor,
  traits: AdapterTraits,
  choose: ChooseVariant | undefined,
  isWrong: (variant: Variant) => boolean,
): Variant {
  const possible = possibleVariants(node, traits).filter((variant) => !isWrong(variant));
  const chosen = choose?.(node, possible) ?? possible.find(({ heuristic }) => heuristic?.(node, traits) ?? true);
  if (!chosen) throw new Error(`no variant of ${node.op.name} is possible here`);
  return chosen;
}

/**
 * The schedule with the variant of every group with a kernel op: chosen here, and read here by all that comes later. A group
 * that has one keeps it, unless it is wrong.
 */
export function chooseVariants(
  schedule: Schedule,
  traits: AdapterTraits,
  choose?: ChooseVariant,
  isWrong: (group: Group, variant: Variant) => boolean = () => false,
): Schedule {
  const groups = schedule.groups.map((group) => {
    const [kernelOp] = group.kernelOps;
    if (!kernelOp || kernelOp.all.every(({ size }) => size === 0)) return group;
    if (group.variant && !isWrong(group, group.variant)) return group;
    return { ...group, variant: chooseVariant(kernelOp, traits, choose, (variant) => isWrong(group, variant)) };
  });
  return { ...schedule, groups };
}
