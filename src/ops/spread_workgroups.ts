// More workgroups than one dimension takes, along two.
import { MOST_WORKGROUPS } from './define.ts';

/** So many workgroups, or a few more: a workgroup's number is x + y · (how many there are along x). */
export function spreadWorkgroups(count: number): readonly [number, number, number] {
  const high = Math.max(1, Math.ceil(count / MOST_WORKGROUPS));
  return [Math.ceil(count / high), high, 1];
}
