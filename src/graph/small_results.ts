// Small results of a step lie side by side in memory, and a dispatch binds them all at once: losses, norms, counters, an optimizer's
// factors. A GPU may have no more than ten storage buffers a dispatch, and those are what keeps the last dispatches of a step apart.
import { alignedSize } from '../ops/source.ts';
import { type DType, Tensor } from '../ops/tensor.ts';
import { packOp } from '../ops/view.ts';
import { memoryOfSchedule } from './legality.ts';
import { wordsOf } from './memory.ts';
import { type Group, isDispatch, type Schedule } from './schedule.ts';

/** Words of a result that is small: one for each image of a batch is. */
const SMALL = 256;
/** Of each of these there is a shelf: a binding has one element type. */
const DTYPES: readonly DType[] = ['f32', 'u32'];

export function shelveSmall(schedule: Schedule): Schedule {
  const { groups, targets, outputs } = schedule;
  // The app's buffers may stand for outputs, and variables and packs have their places.
  const placed = new Set<Tensor>([
    ...targets.keys(),
    ...Object.values(outputs),
    ...memoryOfSchedule(schedule).packOf.keys(),
  ]);
  for (const group of groups) {
    if (bindsItself(group)) for (const tensor of [...group.outputs, ...group.reads.keys()]) placed.add(tensor);
  }
  const small = groups
    .filter(isDispatch)
    .flatMap((group) => group.outputs)
    .filter((tensor) => !placed.has(tensor) && tensor.size > 0 && wordsOf(tensor) <= SMALL);
  const shelves = DTYPES.flatMap((dtype) => {
    const parts = small.filter((tensor) => tensor.dtype === dtype);
    const words = parts.reduce((sum, { size }) => sum + alignedSize(size), 0);
    return parts.length > 1 ? [new Tensor(packOp, parts, { shelf: true }, [words], dtype, '')] : [];
  });
  return { ...schedule, shelves };
}

/** Whether a group's kernel names its buffers itself, or is held against another that does not know of shelves. */
function bindsItself({ kernelOps, outputs, variant }: Group): boolean {
  return variant?.unverified === true || [...kernelOps, ...outputs].some(({ op }) => op.traits?.opaque);
}
