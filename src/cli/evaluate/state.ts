// What an evaluation has done so far, in a file beside what it is of, so that it can be stopped and gone on with.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { DataError, OptionError } from '../../errors.ts';
import type { EvaluationState } from '../../train/evaluate.ts';
import { showPath } from '../arguments.ts';
import { replaceFile } from '../train/durable.ts';
import type { Job } from './protocol.ts';

interface Of extends Pick<Job, 'where' | 'images'> {
  /** The model's file. */
  readonly trained: Uint8Array;
  readonly how: Omit<Job['how'], 'resume'>;
}

export class StateFile {
  /** What was done before. */
  readonly before: EvaluationState | undefined;
  private readonly path: string;
  private readonly of: string;

  /** @throws OptionError if the file is of another evaluation, DataError if it is of none */
  constructor(path: string, { trained, ...rest }: Of) {
    this.path = path;
    const model = createHash('sha256').update(trained).digest('hex');
    this.of = JSON.stringify({ model, ...rest });
    if (existsSync(path)) this.before = this.read();
  }

  private read(): EvaluationState {
    const { path } = this;
    let kept: { readonly of?: string; readonly state?: EvaluationState };
    try {
      kept = JSON.parse(readFileSync(path, 'utf8'));
    } catch (cause) {
      throw new DataError(`--state: ${showPath(path)} cannot be read: ${(cause as Error).message}`, { cause });
    }
    if (typeof kept?.of !== 'string' || !kept.state) {
      throw new DataError(`--state: ${showPath(path)} does not hold the state of an evaluation`);
    }
    if (kept.of !== this.of) {
      throw new OptionError(
        `--state: ${showPath(path)} is of another model, other data or other options; give another file, or delete it`,
      );
    }
    return kept.state;
  }

  /** @param bytes of a state, as JSON */
  save(bytes: Uint8Array): void {
    const { path, of } = this;
    const state = JSON.parse(new TextDecoder().decode(bytes));
    replaceFile(path, `${JSON.stringify({ of, state })}\n`);
  }
}
