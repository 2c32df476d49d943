// The passes that only GPUs need, loaded for them: a dispatch costs microseconds there, and there are many workgroups at a time.
import { shareWorkgroups } from './in_turn.ts';
import type { Passes } from './planner.ts';
import { recompute } from './recompute.ts';
import { placeSideBySide } from './side_by_side.ts';
import { shelveSmall } from './small_results.ts';

export const passes: Passes = {
  recompute,
  arrange: (schedule, adapter) => ({
    ...placeSideBySide(shareWorkgroups(shelveSmall(schedule), adapter), adapter),
    arrangedFor: adapter,
  }),
};
