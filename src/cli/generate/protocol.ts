// What `npm run generate` and its page tell each other.
import type { SentenceDrawing } from '../../train/sentences.ts';

/** job.json: what is to be written. */
export interface Job {
  /** What the checkpoint is called; its bytes are under `trained`. */
  readonly trained: string;
  readonly what: Prompted | Sampled | Looked | Walked;
}

/** What goes on from a prompt. */
export interface Prompted {
  readonly kind: 'prompt';
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly cache: boolean;
}

interface OfSentences {
  /** Sentences that are drawn, or that a walk is of. */
  readonly count: number;
  readonly how: Partial<SentenceDrawing>;
}

/** Sentences of random codes. */
export interface Sampled extends OfSentences {
  readonly kind: 'samples';
}

/** What a model of sentences makes of one. */
export interface Looked extends OfSentences {
  readonly kind: 'look';
  readonly from: string;
}

/** Sentences from one to another. */
export interface Walked extends OfSentences {
  readonly kind: 'walk';
  readonly from: string;
  readonly to: string;
}

/** How fast it was. */
export interface Written {
  readonly count: number;
  readonly unit: 'tokens' | 'sentences';
  /** From the first submit to the last token, without compiling what each token takes. */
  readonly seconds: number;
}

export type Outcome =
  | ({ readonly event: 'done'; readonly adapter: string } & Written)
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** The page calls this as `gliaTell`, with text as it is made. */
export type Tell = (text: string) => Promise<void>;

/** The name under which the page finds `Tell`. */
export const TELL = 'gliaTell';
