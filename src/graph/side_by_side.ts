// Groups that do not wait for one another become one dispatch, each with workgroups of its own: the gradients of all layers'
// weights and biases, which only the optimizer waits for, and whatever else has time.
//
// A group has a level, the number of dispatches that must run before it, and so many levels of slack. Those without slack are
// placed first. The others are placed as late as they may, beside what is there, so that small ones run together and not one
// by one between dispatches that wait for each other; where nothing takes them in, a level earlier, and so on.
import type { AdapterTraits } from '../ops/tensor.ts';
import { Compounds } from './compound.ts';
import { arranged } from './in_turn.ts';
import { dependencies } from './order.ts';
import { type Group, isDispatch, type Schedule } from './schedule.ts';

/** Threads from which on a dispatch fills any GPU for longer than another costs: it keeps its registers for itself. */
export const LARGE = 2 ** 20;
/** Groups that a bin turns away before it counts as full. */
const PATIENCE = 8;

interface Bin {
  group: Group;
  refusals: number;
}

export function placeSideBySide(schedule: Schedule, traits: AdapterTraits): Schedule {
  const { groups, targets } = schedule;
  const compounds = new Compounds(schedule, traits);
  const { before, after } = dependencies(groups, targets);
  const weight = (group: Group) => (isDispatch(group) ? 1 : 0);
  const earliest = new Map<Group, number>();
  for (const group of groups) {
    earliest.set(group, Math.max(0, ...[...before.get(group)!].map((one) => earliest.get(one)! + weight(one))));
  }
  const depth = groups.reduce((most, group) => Math.max(most, earliest.get(group)! + weight(group)), 0);
  const latest = (group: Group, levels: ReadonlyMap<Group, number>) =>
    Math.min(depth, ...[...after.get(group)!].map((one) => levels.get(one)!)) - weight(group);
  const unplaced = new Map<Group, number>();
  for (const group of [...groups].reverse()) unplaced.set(group, latest(group, unplaced));

  const levels = new Map<Group, number>();
  const bins: Bin[][] = Array.from({ length: depth + 1 }, () => []);
  const partOf = new Map<Group, Group>(groups.map((group) => [group, group]));
  const place = (group: Group, from: number, to: number) => {
    const canShare = isDispatch(group) && !isLarge(compounds, group) && !compounds.alone(group);
    for (let level = to; canShare && level >= from; level--) {
      for (const bin of bins[level]!) {
        if (bin.refusals > PATIENCE) continue;
        const joined = compounds.join([bin.group, group], 'side by side');
        if ('kind' in joined) {
          bin.refusals++;
          continue;
        }
        bin.group = joined;
        for (const member of joined.members!) partOf.set(member, joined);
        levels.set(group, level);
        return;
      }
    }
    levels.set(group, to);
    if (canShare) bins[to]!.push({ group, refusals: 0 });
  };
  const isCritical = (group: Group) => earliest.get(group) === unplaced.get(group);
  for (const group of groups) if (isCritical(group)) place(group, earliest.get(group)!, earliest.get(group)!);
  for (const group of [...groups].reverse()) {
    if (!isCritical(group)) place(group, earliest.get(group)!, latest(group, levels));
  }
  return arranged(schedule, partOf);
}

export function isLarge(compounds: Compounds, group: Group): boolean {
  const { threads, workgroups } = compounds.outline(group);
  return workgroups.reduce((all, count) => all * count, threads) > LARGE;
}
