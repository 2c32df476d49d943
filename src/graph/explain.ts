// Why dispatches of a schedule are not one: the reason of the merging pass for each pair of neighbours, in words.
import { type Tensor, typeOf } from '../ops/tensor.ts';
import { Compounds } from './compound.ts';
import { topological } from './graph.ts';
import { type FusionGroup, groupOf, memoryOfSchedule, type Refusal } from './legality.ts';
import { Merging } from './merge.ts';
import { linesOf, namesOf, numbersOf, schedulesRoots, titleOf } from './print_schedule.ts';
import { type Group, isDispatch, isIsolated, type Schedule } from './schedule.ts';
import { isLarge } from './side_by_side.ts';

/** The schedule as `printSchedule` gives it and, between each two neighbours, the reason why they are two dispatches. */
export function printExplained(schedule: Schedule): string {
  const reasons = explainSchedule(schedule);
  return linesOf(schedule)
    .flatMap((line, i) => (i === 0 ? [line] : [`    ${reasons[i - 1]}`, line]))
    .join('\n');
}

/**
 * A line for each pair of groups that follow one another, or for the pair that is asked for.
 *
 * @param a,b numbers of dispatches, as `printSchedule` counts them, from 1
 * @throws RangeError if there are none of these numbers
 */
export function explainSchedule(schedule: Schedule, a?: number, b?: number): string[] {
  const { groups, targets, outputs } = schedule;
  const roots = schedulesRoots(schedule);
  const names = namesOf(roots);
  const makers = new Set(groups.flatMap((group) => group.outputs));
  const memory = memoryOfSchedule(schedule);
  const fusionGroups = groups.map((group): FusionGroup => {
    const { kernelOps, outputs, inPlaceConcat, members } = group;
    if (members) return { ...group, refusal: undefined, count: 0 };
    return groupOf(memory, kernelOps, outputs, inPlaceConcat, (node) => makers.has(node));
  });
  const merging = new Merging({ groups: fusionGroups, memory, order: topological(roots), outputs, targets });
  const numbers = numbersOf(schedule);
  const title = (i: number) => (numbers[i] ? `${numbers[i]} (${titleOf(groups[i]!)})` : titleOf(groups[i]!));
  const words = (refusal: Refusal): string => {
    const of = (tensor: Tensor) => names.get(tensor) ?? tensor.op.name;
    if ('count' in refusal) {
      const { count, most } = refusal;
      if (refusal.kind === 'threads') return `workgroups of ${count} threads and of ${most} share no dispatch`;
      if (refusal.kind === 'memory') return `together they want ${count} bytes of workgroup memory, of ${most} at most`;
      if (refusal.kind === 'members') return `one dispatch would have ${count} members, of ${most} at most`;
      const [does, what] = refusal.kind === 'buffers' ? ['bind', 'buffers'] : ['compute', 'nodes'];
      return `one kernel would ${does} ${refusal.count} ${what}, of ${refusal.most} at most`;
    }
    const { tensor } = refusal;
    if (refusal.kind === 'isolated') return `${tensor.op.name} is a dispatch of its own`;
    const it = `${of(tensor)}, ${typeOf(tensor)}`;
    if (refusal.kind === 'sizes') return `${it}, and ${typeOf(refusal.other)} are of different sizes`;
    if (refusal.kind === 'waits')
      return `it would read ${it}, at other places than where it writes ${of(refusal.other)} into the same memory`;
    if (refusal.kind === 'elsewhere') return `a thread would need elements of ${it}, that other threads compute`;
    if (refusal.kind === 'operand') return `${it}, is read all over, and so must be complete before`;
    return refusal.kind === 'cycle' ? `what makes ${it}, must run between them` : `nothing reads ${it}`;
  };
  const compounds = schedule.arrangedFor && new Compounds(schedule, schedule.arrangedFor);
  /** Of what is several already: why the two cannot lie side by side. */
  const apart = (first: Group, second: Group): string => {
    const made = first.outputs.find((node) => second.reads.has(node));
    if (made) {
      const isSmall = [first, second].every(
        (group) => isDispatch(group) && compounds!.outline(group).workgroups.every((count) => count === 1),
      );
      const inTurn = isSmall ? compounds!.join([first, second], 'in turn') : undefined;
      const why = inTurn && 'kind' in inTurn ? words(inTurn) : 'a workgroup of its own is no longer enough';
      return `${names.get(made)} must be complete before, and ${why}`;
    }
    const joined =
      compounds!.alone(first) ?? compounds!.alone(second) ?? compounds!.join([first, second], 'side by side');
    if ('kind' in joined) return words(joined);
    return isLarge(compounds!, first) || isLarge(compounds!, second)
      ? 'one of them fills the adapter by itself'
      : 'what runs beside them, or between, must come before one and after the other';
  };
  const between = (first: FusionGroup, second: FusionGroup): string => {
    const pack = [first, second].find(({ inPlaceConcat }) => inPlaceConcat);
    if (pack) return 'a pack in place is no dispatch';
    const alone = [first, second].flatMap((group) => [...group.kernelOps, ...group.outputs]).find(isIsolated);
    if (alone) return `${alone.op.name} is a dispatch of its own, to which nothing is fused`;
    const pairs = [
      [first, second],
      [second, first],
    ] as const;
    const gaining = pairs.find(([x, y]) => merging.gains(x, y));
    if (gaining) {
      const merged = merging.attempt(...gaining);
      return 'kind' in merged ? words(merged) : 'they could be one, but others were nearer';
    }
    const [x, y] = [first.outputs[0]!, second.outputs[0]!];
    const operand = second.kernelOps.length > 0 && first.outputs.find((node) => second.reads.has(node));
    if (operand) {
      return `${names.get(operand)} is read by ${second.kernelOps[0]!.op.name}, and so must be complete before`;
    }
    if (x.size !== y.size) return `${typeOf(x)} and ${typeOf(y)} are of different sizes`;
    return 'neither reads element by element what the other stores or reads, so nothing is gained';
  };
  const at = (number: number): number => {
    const i = numbers.indexOf(number);
    if (i < 0)
      throw new RangeError(`there are dispatches 1 to ${Math.max(...numbers.map((n) => n ?? 0))}, got ${number}`);
    return i;
  };
  const pairs =
    a === undefined ? groups.slice(1).map((_, i) => [i, i + 1] as const) : [[at(a), at(b ?? a + 1)] as const];
  return pairs.map(([i, j]) => {
    if (i === j) throw new RangeError(`dispatch ${a} is one with itself: give two numbers`);
    const isSeveral =
      (groups[i]!.members ?? groups[j]!.members) && !groups[i]!.inPlaceConcat && !groups[j]!.inPlaceConcat;
    const reason = isSeveral ? apart(groups[i]!, groups[j]!) : between(fusionGroups[i]!, fusionGroups[j]!);
    return `${title(i)} and ${title(j)}: ${reason}`;
  });
}
