// The file of a model that a command names with --checkpoint.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { showPath } from './arguments.ts';

/** @throws CheckpointError if there is none */
export function findModel(place: string, option = '--checkpoint'): string {
  const found = statSync(place, { throwIfNoEntry: false });
  if (!found) throw new CheckpointError(`${option}: there is no ${showPath(place)}`);
  const path = found.isDirectory() ? join(place, 'checkpoint.safetensors') : place;
  if (!existsSync(path)) throw new CheckpointError(`${option}: there is no checkpoint in ${showPath(place)}`);
  return path;
}
