// PyTorch as an oracle, where a Python has it: programs that read a job as JSON and write what they find as JSON.
import { spawnSync } from 'node:child_process';
import type { Parameters } from '../src/nn/module.ts';

export const PYTHON = ['/usr/bin/python3', 'python3'].find(
  (python) => spawnSync(python, ['-c', 'import torch']).status === 0,
);

/** What a program for PyTorch says of a job. */
export function torch(program: string, job: object): unknown {
  const { stdout, stderr } = spawnSync(PYTHON!, [program], { input: JSON.stringify(job), encoding: 'utf8' });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
}

export const asJson = (weights: ReturnType<Parameters['split']>) =>
  Object.fromEntries([...weights].map(([name, { shape, data }]) => [name, { shape, data: [...data] }]));

/** Euclidean norm of the difference, relative to that of what was expected. */
export function relativeError(actual: ArrayLike<number>, expected: readonly number[]): number {
  return Math.hypot(...expected.map((value, i) => value - actual[i]!)) / Math.hypot(...expected);
}
