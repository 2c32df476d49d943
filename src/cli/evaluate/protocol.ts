// What the command `evaluate` and its page (page.ts) tell each other.
import type { Binarization } from '../../data/binarize.ts';
import type { Estimate } from '../../train/estimates.ts';
import type { EvaluateOptions, EvaluationProgress, LayerUse } from '../../train/evaluate.ts';

/** job.json: what the page has to do. The file of the model is under `trained`, the data as `npm run train` has them. */
export interface Job {
  /** What the file of the model is called. */
  readonly trained: string;
  /** What --data says; the built-in digits or sentences without. */
  readonly where: string | undefined;
  /** Only the first so many test images. */
  readonly images: number | undefined;
  readonly how: Pick<EvaluateOptions, 'samples' | 'batch' | 'seed' | 'resume'>;
  /** Whether what is done is to be posted as STATE after each batch of images. */
  readonly keep: boolean;
}

/** Everything has been read and checked. */
export interface StartEvent {
  readonly event: 'start';
  readonly adapter: string;
  /** Whether the adapter runs on the CPU. */
  readonly software: boolean;
  /** The file of the model, as it is shown. */
  readonly checkpoint: string;
  readonly model: string;
  readonly weights: number;
  /** How it was trained, as far as the file says. */
  readonly trained: {
    readonly steps?: number;
    readonly data?: string;
    readonly beta: number;
    readonly particles: number;
  };
  readonly data: {
    /** What one example is. */
    readonly kind: 'image' | 'sentence';
    readonly name: string;
    readonly builtIn: boolean;
    readonly size: string;
    /** Test images or sentences there are, and those that are evaluated. */
    readonly test: number;
    readonly images: number;
    /** What was made of grey pixels, as in the training, and the seed that the test images were drawn by. */
    readonly binarize: Binarization;
    readonly seed: number;
  };
}

export interface ProgressEvent extends EvaluationProgress {
  readonly event: 'progress';
}

export type Summary = Omit<Estimate, 'values'>;

/** Nats per image or sentence; see `Evaluation`. */
export interface Result {
  readonly images: number;
  /** Of sentences: tokens of all of them, with an end each. */
  readonly tokens?: number;
  readonly loss: Summary;
  readonly reconstruction: Summary;
  readonly kl: Summary;
  readonly layers: readonly LayerUse[];
  readonly nll: readonly (Summary & { readonly samples: number; readonly below: Summary })[];
}

export const STATE = 'state.json';

export type Outcome =
  | ({ readonly event: 'done' } & Result)
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** The page calls this as `gliaTell`. */
export type Tell = (event: StartEvent | ProgressEvent) => Promise<void>;

/** The name under which the page finds `Tell`. */
export const TELL = 'gliaTell';
