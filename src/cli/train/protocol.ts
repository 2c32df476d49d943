// What the command and its page (demos/train/headless.ts) tell each other.
import type { ImageSet } from '../../data/images.ts';
import type { Means, StepEvent, TrainEvent } from '../../train/events.ts';
import type { TrainOptions } from '../../train/options.ts';

/** An image set without its bytes; the page fetches these as SPLIT.images and SPLIT.labels. */
export type SplitOutline = Omit<ImageSet, 'images' | 'labels'>;

/** job.json: what the page has to do. */
export interface Job {
  readonly options: TrainOptions;
  readonly dataset: { readonly name: string; readonly train: SplitOutline; readonly test: SplitOutline };
  /** What the checkpoint to resume from is called, if there is one; its bytes are under `checkpoint`. */
  readonly checkpoint?: string;
  /** What was told before that checkpoint. */
  readonly history: readonly TrainEvent[];
}

/** The trainer is ready: everything has been checked. */
export interface StartEvent {
  readonly event: 'start';
  readonly adapter: string;
  /** Whether the adapter runs on the CPU. */
  readonly software: boolean;
  readonly weights: number;
  /** Names of the terms that events carry. */
  readonly terms: readonly string[];
  /** Steps made before, and steps when the run is over. */
  readonly step: number;
  readonly totalSteps: number;
}

/** How a run ended. */
export type Outcome =
  | { readonly event: 'done'; readonly step: number; readonly test: Means }
  | { readonly event: 'stopped'; readonly step: number }
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** The page calls this as `gliaTell`: events worth keeping, and the latest step, which may be none of them. */
export type Tell = (events: readonly (StartEvent | TrainEvent)[], latest?: StepEvent) => Promise<void>;

/** The name under which the page finds `Tell`. */
export const TELL = 'gliaTell';
/** The event on the page's window that asks it to stop. */
export const STOP = 'glia-stop';
