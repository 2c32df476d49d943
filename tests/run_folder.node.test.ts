// The run folder against what file systems do: each is one clear line, before there is a browser.
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findCheckpoint, newRun, RunFolder } from '../src/cli/train/folder.ts';
import { CheckpointError, OptionError } from '../src/errors.ts';
import { decodeCheckpoint, decodeTrained } from '../src/train/checkpoint.ts';
import { completeOptions } from '../src/train/options.ts';
import { encodeSafetensors, type StoredTensor } from '../src/train/safetensors.ts';
import { scratchFolder } from './command.ts';
import { trainCommand } from './train_command.ts';

const scratch = scratchFolder();
const { expectRefusedAtOnce } = trainCommand(scratch);

const errorOf = (work: () => unknown): Error => {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was not refused');
};

function expectLine(work: () => unknown, kind: new (...args: never[]) => Error, message: RegExp): void {
  const error = errorOf(work);
  expect(error).toBeInstanceOf(kind);
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
}

describe('--out is refused at once', () => {
  test('whose checkpoint is a folder', async () => {
    const out = join(scratch, 'odd');
    mkdirSync(join(out, 'checkpoint.safetensors'), { recursive: true });
    await expectRefusedAtOnce(['--out', out], /odd holds a run|is no file/);
    await expectRefusedAtOnce(['--out', out, '--resume'], /--resume: there is no checkpoint in/);
  });

  test('that lies under a file', async () => {
    const file = join(scratch, 'file');
    writeFileSync(file, '');
    const out = join(file, 'inner', 'run');
    await expectRefusedAtOnce(
      ['--out', out],
      /run folder .*inner.run cannot be written to \(ENOTDIR: not a directory\)/,
    );
    await expectRefusedAtOnce(['--out', out, '--resume'], /--resume: there is no .*inner/);
  });

  test.runIf(existsSync('/proc/self'))('on a file system without folders', async () => {
    await expectRefusedAtOnce(
      ['--out', '/proc/glia/run'],
      /run folder \/proc\/glia\/run cannot be written to \(ENOENT/,
    );
  });

  test.runIf(existsSync('/dev/full'))('where nothing can be written, as on a full disk', () => {
    const folder = new RunFolder(join(scratch, 'full'));
    folder.create([]);
    symlinkSync('/dev/full', join(folder.path, 'model.safetensors.part'));
    expectLine(
      () => folder.write('model.safetensors', 'x'),
      OptionError,
      /full cannot be written to \(ENOSPC: no space/,
    );
    expect(readdirSync(folder.path).sort()).toEqual(['metrics.jsonl', 'run.lock']);
    folder.release();
  });
});

test('a check leaves nothing, also of the folders above', () => {
  const folder = newRun(join(scratch, 'a', 'b', 'run'), 'vae');
  folder.check();
  expect(existsSync(join(scratch, 'a'))).toBe(false);
  mkdirSync(join(scratch, 'a'));
  folder.check();
  expect(readdirSync(join(scratch, 'a'))).toEqual([]);
});

describe('two runs into one folder', () => {
  test('are one too many, and a run that died is none', async () => {
    const out = join(scratch, 'shared');
    const first = new RunFolder(out);
    first.create([]);
    expect(Number(readFileSync(join(out, 'run.lock'), 'utf8'))).toBe(process.pid);
    // Another process that is alive: the one that started this.
    writeFileSync(join(out, 'run.lock'), `${process.ppid}\n`);
    expectLine(
      () => new RunFolder(out).create([]),
      OptionError,
      /another run \(process \d+\) writes into .*shared: wait/,
    );
    await expectRefusedAtOnce(['--out', out], /another run \(process \d+\) writes into/);
    writeFileSync(join(out, 'run.lock'), '4194304999\n');
    const next = new RunFolder(out);
    next.create([]);
    next.release();
    expect(readdirSync(out)).toEqual(['metrics.jsonl']);
  });
});

describe('a checkpoint', () => {
  const options = completeOptions({ hidden: 4, latent: 2, batch: 10, epochs: 3 });
  const progress = {
    ...{ options, optimizer: 'Adam', batch: 10, epochs: 3, seed: 0, epochSums: { steps: 0, sums: [] } },
    data: { name: 'mine', count: 100, tensors: { images: 'u8 [9]' } },
  };
  const file = (step: number, weight: number[], told: object = progress) => {
    const tensors: Record<string, StoredTensor> = {
      'encoder.0.bias': { dtype: 'F32', shape: [weight.length], data: Float32Array.from(weight) },
      'optimizer.step': { dtype: 'U32', shape: [], data: Uint32Array.of(step) },
    };
    return encodeSafetensors(tensors, { format: 'glia checkpoint 2', progress: JSON.stringify(told) });
  };

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'with %s among its weights is refused where it is read',
    (value) => {
      const wanted = new RegExp(`bad: tensor encoder\\.0\\.bias is ${value} at element 2`);
      expectLine(() => decodeCheckpoint(file(1, [1, 2, value]), 'bad'), CheckpointError, wanted);
      expectLine(() => decodeTrained(file(1, [1, 2, value]), 'bad'), CheckpointError, wanted);
      const weights = encodeSafetensors(
        { w: { dtype: 'F32', shape: [1], data: Float32Array.of(value) } },
        { format: 'pt', options: JSON.stringify(options) },
      );
      expectLine(() => decodeTrained(weights, 'bad'), CheckpointError, /bad: tensor w is/);
    },
  );

  test('of a step that its run has not is refused', () => {
    expect(decodeCheckpoint(file(30, [1]), 'good').step).toBe(30);
    expectLine(() => decodeCheckpoint(file(31, [1]), 'bad'), CheckpointError, /after step 31 of a run of 30/);
    expectLine(() => decodeCheckpoint(file(4294967295, [1]), 'bad'), CheckpointError, /step 4294967295 of a run of 30/);
    const long = { ...progress, epochs: 1e15 };
    expectLine(() => decodeCheckpoint(file(4294967295, [1], long), 'bad'), CheckpointError, /of a run of 2147483648/);
  });

  test('without the numbers of its run is refused', () => {
    for (const change of [{ batch: 0 }, { data: {} }, { epochs: 'many' }, { options: undefined }]) {
      const bytes = file(1, [1], { ...progress, ...change });
      expectLine(() => decodeCheckpoint(bytes, 'bad'), CheckpointError, /bad is damaged: it does not say/);
    }
  });

  test('of an earlier version is read', () => {
    const { batch: _, ...rest } = options;
    const told = {
      options: { ...rest, batch: 10, codes: 64 },
      data: { name: 'mine', images: 100, pixels: 9 },
      epochSums: { steps: 0, sums: [] },
    };
    const bytes = encodeSafetensors(
      { 'optimizer.step': { dtype: 'U32', shape: [], data: Uint32Array.of(3) } },
      { format: 'glia checkpoint 1', progress: JSON.stringify(told) },
    );
    expect(decodeCheckpoint(bytes, 'old').progress).toMatchObject({
      batch: 10,
      epochs: 3,
      seed: 0,
      optimizer: 'Adam',
      data: { count: 100 },
    });
    expect(decodeTrained(bytes, 'old').options).toEqual(options);
  });

  test('is found as a file', () => {
    mkdirSync(join(scratch, 'none'));
    expectLine(() => findCheckpoint(join(scratch, 'none'), undefined), CheckpointError, /no checkpoint in/);
  });
});
