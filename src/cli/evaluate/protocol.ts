// What the command `evaluate` and its page (demos/evaluate/headless.ts) tell each other.
import type { Estimate } from '../../train/estimates.ts';
import type { EvaluateOptions, Progress } from '../../train/evaluate.ts';
import type { SplitOutline } from '../train/protocol.ts';

/** job.json: what the page has to do. The file of the model is under `trained`, the images under `test.…`. */
export interface Job {
  /** What the file of the model is called. */
  readonly trained: string;
  readonly dataset: { readonly name: string; readonly train: SplitOutline; readonly test: SplitOutline };
  readonly how: Pick<EvaluateOptions, 'samples' | 'batch' | 'seed'>;
}

/** Everything has been checked. */
export interface StartEvent {
  readonly event: 'start';
  readonly adapter: string;
  /** Whether the adapter runs on the CPU. */
  readonly software: boolean;
}

export interface ProgressEvent extends Progress {
  readonly event: 'progress';
}

export type Summary = Omit<Estimate, 'values'>;

/** Nats per image; see `Evaluation`. */
export interface Result {
  readonly images: number;
  readonly loss: Summary;
  readonly reconstruction: Summary;
  readonly kl: Summary;
  readonly nll: readonly (Summary & { readonly samples: number; readonly below: Summary })[];
}

export type Outcome =
  | ({ readonly event: 'done' } & Result)
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** The page calls this as `gliaTell`. */
export type Tell = (event: StartEvent | ProgressEvent) => Promise<void>;

/** The name under which the page finds `Tell`. */
export const TELL = 'gliaTell';
