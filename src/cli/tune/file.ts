// Remembers the tuner's winners in a file: a JSON object of texts by key.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DataError } from '../../errors.ts';
import type { TuneStore } from '../../runtime/tune_store.ts';
import { replaceFile } from '../train/durable.ts';

export function fileStore(path: string): TuneStore {
  const read = (): Record<string, string> => {
    if (!existsSync(path)) return {};
    try {
      return JSON.parse(readFileSync(path, 'utf8'));
    } catch (error) {
      throw new DataError(`${path} is damaged: delete it, and tune again`, { cause: error });
    }
  };
  return {
    get: async (key) => read()[key],
    set: async (key, value) => {
      mkdirSync(dirname(path), { recursive: true });
      replaceFile(path, `${JSON.stringify({ ...read(), [key]: value }, null, 2)}\n`);
    },
  };
}
