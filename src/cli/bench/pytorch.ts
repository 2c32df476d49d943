// PyTorch on the same GPU: tests/pytorch_bench.py, run where python3 has PyTorch and CUDA.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineName } from '../../bench/results.ts';

const SCRIPT = 'tests/pytorch_bench.py';

/** Milliseconds of every round, by column and by workload. */
export type PyTorchCells = ReadonlyMap<EngineName, Readonly<Record<string, readonly number[]>>>;

/** What the script writes. */
interface Measured {
  readonly device: string;
  readonly version: string;
  readonly eager: Record<string, number[]>;
  readonly compiled: Record<string, number[]>;
}

/** Runs the script before anything else is measured: a GPU is not to be shared. Without PyTorch it says so. */
export function runPyTorch(python = 'python3', script = SCRIPT): PyTorchCells | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'glia-pytorch-'));
  try {
    const file = join(folder, 'milliseconds.json');
    console.error(`glia: measuring PyTorch (${python} ${script}) …`);
    const { status, error, stderr } = spawnSync(python, [script, '--json', file], { encoding: 'utf8' });
    if (status !== 0) throw error ?? new Error(stderr.trim().split('\n').at(-1));
    const { device, version, eager, compiled } = JSON.parse(readFileSync(file, 'utf8')) as Measured;
    console.error(`glia: PyTorch ${version} on ${device}`);
    return new Map<EngineName, Record<string, number[]>>([
      ['pytorch', eager],
      ['pytorch-graphs', compiled],
    ]);
  } catch (error) {
    console.error(`glia: PyTorch is left out: ${(error as Error).message}`);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
