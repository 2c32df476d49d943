// What a phase of `npm run measure` is given, and what it gives: numbers that are kept as it goes, and lines that are told.
import type { Gpu } from '../../gpu/gpu.ts';

export interface PhaseContext {
  readonly gpu: Gpu;
  /** What `navigator.gpu` would be. */
  readonly webgpu: GPU;
  /** Shows a line. */
  say(line: string): void;
  /** Keeps a result under a name; what is kept is on disk at once. */
  keep(name: string, value: unknown): void;
}

export type Phase = (context: PhaseContext) => Promise<void>;

/** Milliseconds as microseconds, for people. */
export const micro = (ms: number) => `${(ms * 1000).toFixed(1)} µs`;
