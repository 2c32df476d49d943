// What the command and its page (page.ts) tell each other.
import type { Means, StepEvent, TrainEvent } from '../../train/events.ts';
import type { TrainOptions } from '../../train/options.ts';

/** DATA.json: the files that --data means, each of them under DATA/PATH; null means the built-in digits. */
export interface DataList {
  readonly name: string;
  readonly paths: readonly string[];
}

/** Where the page finds the data. */
export const DATA = 'data';

/** job.json: what the page has to do. */
export interface Job {
  readonly options: TrainOptions;
  /** What the checkpoint to resume from is called, if there is one; its bytes are under `checkpoint`. */
  readonly checkpoint?: string;
  /** What the weights to begin with are called, if they are given; they are under `init`. */
  readonly init?: string;
  /** What the file of a tokenizer is called, if one is given; it is under `tokenizer.json`. */
  readonly tokenizer?: string;
  /** What was told before that checkpoint. */
  readonly history: readonly TrainEvent[];
  /** A checkpoint at least so often: seconds. */
  readonly saveEvery: number;
  /** Epochs from one test to the next. */
  readonly testEvery: number;
}

/** Files are being read, which may take its time; once all are, the step is compiled, which takes some, too. */
export interface ReadingEvent {
  readonly event: 'reading';
  readonly done: number;
  readonly total: number;
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
  readonly data: {
    readonly name: string;
    /** Images, or tokens. */
    readonly train: number;
    readonly test: number;
    readonly images?: { readonly height: number; readonly width: number; readonly channels: number };
    /** Of a text. */
    readonly vocabulary?: { readonly kind: string; readonly size: number };
    /** Bytes of GPU memory through which images are streamed, where these do not fit the budget. */
    readonly streamedThrough?: number | undefined;
  };
  /** Steps made before, and steps when the run is over. */
  readonly step: number;
  readonly totalSteps: number;
}

/** The run lost its device, its tab or its browser, and goes on with another. */
export interface RecoveredEvent {
  readonly event: 'recovered';
  readonly reason: string;
  /** The step that it goes on from. */
  readonly step: number;
  /** Where it is another one than before: the bits may differ. */
  readonly adapter?: string;
}

/** How a run ended. */
export type Outcome =
  | { readonly event: 'done'; readonly step: number; readonly test: Means }
  | { readonly event: 'stopped'; readonly step: number }
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** The page calls this as `gliaTell`: events worth telling, and the latest step, which may be none of them. */
export type Tell = (
  events: readonly (ReadingEvent | StartEvent | RecoveredEvent | TrainEvent)[],
  latest?: StepEvent,
) => Promise<void>;

/** The name under which the page finds `Tell`. */
export const TELL = 'gliaTell';
/** The event on the page's window that asks it to stop. */
export const STOP = 'glia-stop';
