// What `npm run generate` and its page tell each other.

/** job.json: what is to be written. */
export interface Job {
  /** What the checkpoint is called; its bytes are under `trained`. */
  readonly trained: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly cache: boolean;
}

export type Outcome =
  | {
      readonly event: 'done';
      readonly adapter: string;
      readonly tokens: number;
      /** From the first submit to the last token, without compiling. */
      readonly seconds: number;
    }
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** The page calls this as `gliaTell`, with text as it is made. */
export type Tell = (text: string) => Promise<void>;

/** The name under which the page finds `Tell`. */
export const TELL = 'gliaTell';
