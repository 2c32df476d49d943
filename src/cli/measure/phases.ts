// The phases of `npm run measure`, in order, each with the seconds that it may take on a GPU.
import { correctness } from './correctness.ts';
import { gaps } from './gaps.ts';
import type { Phase } from './phase.ts';
import { profiles } from './profiles.ts';
import { steps } from './steps.ts';
import { half, variants } from './variants.ts';

export const PHASES = {
  correctness: { limit: 90, run: correctness, help: 'every op and kernel variant, in f32 and f16, on random shapes' },
  gaps: { limit: 15, run: gaps, help: 'what a dispatch costs by itself, and what the adapter can do at best' },
  steps: { limit: 60, run: steps, help: 'training steps, softmax and sums' },
  profiles: { limit: 45, run: profiles, help: 'dispatch by dispatch, and by how many steps share a submit' },
  variants: { limit: 80, run: variants, help: 'every kernel variant on some forty shapes' },
  half: { limit: 30, run: half, help: 'f16 tiles and, where the adapter has them, subgroup matrices' },
} as const satisfies Record<string, { limit: number; run: Phase; help: string }>;

export type PhaseName = keyof typeof PHASES;

export const PHASE_NAMES = Object.keys(PHASES) as PhaseName[];
