// The run folder against what file systems do: each is one clear line, before there is a browser.
import fs, { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { LineFile, replaceFile } from '../src/cli/train/durable.ts';
import { newRun, RunFolder } from '../src/cli/train/folder.ts';
import { readSaved } from '../src/cli/train/resume.ts';
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

const options = completeOptions({ hidden: 4, latent: 2, batch: 10, epochs: 3 });
const progress = {
  ...{ options, optimizer: 'Adam', batch: 10, epochs: 3, seed: 0, epochSums: { steps: 0, sums: [] } },
  data: { name: 'mine', count: 100, tensors: { images: 'u8 [9]' } },
};
/** A checkpoint of one tensor. */
const checkpointFile = (step: number, weight: number[], told: object = progress) => {
  const tensors: Record<string, StoredTensor> = {
    'encoder.0.bias': { dtype: 'F32', shape: [weight.length], data: Float32Array.from(weight) },
    'optimizer.step': { dtype: 'U32', shape: [], data: Uint32Array.of(step) },
  };
  return encodeSafetensors(tensors, { format: 'glia checkpoint 2', progress: JSON.stringify(told) });
};

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
});

describe.runIf(existsSync('/dev/full'))('a disk that is full while a run goes on', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const step = (step: number) => ({ event: 'step', step, epoch: 1, loss: 1, msPerStep: 1 }) as const;
  const full = (path: string) => symlinkSync('/dev/full', path);
  const read = (folder: RunFolder, name: string) => readFileSync(join(folder.path, name), 'utf8');

  test('is told once, the last good files stay, and what had no room is written when there is some', () => {
    const warnings: string[] = [];
    const folder = new RunFolder(join(scratch, 'full'), (message) => warnings.push(message));
    folder.create([]);
    expect(folder.write('checkpoint.safetensors', bytes('good'))).toBe(true);
    const part = join(folder.path, 'checkpoint.safetensors.part');
    full(part);
    expect(folder.write('checkpoint.safetensors', bytes('better'))).toBe(false);
    full(part);
    expect(folder.write('checkpoint.safetensors', bytes('best'))).toBe(false);
    expect(read(folder, 'checkpoint.safetensors')).toBe('good');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /full cannot be written to \(ENOSPC: no space[^)]*\); the last good checkpoint is intact; the run goes on$/,
    );
    expect(readdirSync(folder.path).sort()).toEqual(['checkpoint.safetensors', 'metrics.jsonl', 'run.lock']);
    full(part);
    expectLine(() => folder.finish(), OptionError, /full cannot be written to \(ENOSPC/);
    folder.finish();
    expect(read(folder, 'checkpoint.safetensors')).toBe('best');
    expect(read(folder, 'checkpoint.before.safetensors')).toBe('good');
    folder.release();
  });

  test('at the start refuses the run', () => {
    const folder = new RunFolder(join(scratch, 'full from the start'));
    mkdirSync(folder.path);
    full(join(folder.path, 'metrics.jsonl.part'));
    expectLine(() => folder.create([step(1)]), OptionError, /start cannot be written to \(ENOSPC/);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test('leaves no half line', () => {
    const path = join(scratch, 'lines');
    const lines = new LineFile(path, 'first\n');
    lines.append('second\n');
    // As a file system does that has room for a part.
    const { writeSync } = fs;
    const spy = vi.spyOn(fs, 'writeSync').mockImplementation(((
      file: number,
      data: Buffer,
      offset: number,
      n: number,
      at: number,
    ) => {
      if (n > 3) return writeSync(file, data, offset, 3, at);
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    }) as never);
    syncBuiltinESMExports();
    expect(() => lines.append('third\n')).toThrow('ENOSPC');
    spy.mockRestore();
    syncBuiltinESMExports();
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n');
    lines.append(`${JSON.stringify(step(4))}\n`);
    expect(readFileSync(path, 'utf8')).toBe(`first\nsecond\nthird\n${JSON.stringify(step(4))}\n`);
    lines.close();
  });
});

test('a checkpoint that is cut short gives way to the one before', () => {
  const out = join(scratch, 'two');
  mkdirSync(out);
  const path = join(out, 'checkpoint.safetensors');
  const before = join(out, 'checkpoint.before.safetensors');
  replaceFile(path, checkpointFile(3, [1]));
  replaceFile(path, checkpointFile(7, [1]), before);
  expect(readSaved(out, undefined)).toMatchObject({ path, checkpoint: { step: 7 } });
  writeFileSync(path, checkpointFile(9, [1]).subarray(0, 100));
  const saved = readSaved(true, out);
  expect(saved).toMatchObject({ path: before, checkpoint: { step: 3 } });
  expect(saved.instead).toMatch(/two.checkpoint\.safetensors/);
  rmSync(path);
  expect(readSaved(out, undefined)).toMatchObject({ checkpoint: { step: 3 } });
  expectLine(() => newRun(out, 'vae'), OptionError, /holds a run/);
});

test('metrics go on from a checkpoint without a step twice, and without a line that was cut', () => {
  const out = join(scratch, 'cut');
  mkdirSync(out);
  writeFileSync(join(out, 'checkpoint.safetensors'), checkpointFile(7, [1]));
  const step = (n: number) => JSON.stringify({ event: 'step', step: n, epoch: 1, loss: 1, msPerStep: 1 });
  writeFileSync(join(out, 'metrics.jsonl'), `${[1, 5, 7, 8, 9].map(step).join('\n')}\n{"event":"st`);
  const { history } = readSaved(out, undefined);
  const folder = new RunFolder(out);
  folder.create(history);
  folder.append([{ event: 'step', step: 8, epoch: 1, loss: 1, msPerStep: 1 }]);
  folder.release();
  expect(readFileSync(join(out, 'metrics.jsonl'), 'utf8')).toBe(`${[1, 5, 7, 8].map(step).join('\n')}\n`);
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
    expect(readFileSync(join(out, 'run.lock'), 'utf8')).toMatch(new RegExp(`^${process.pid} `));
    // Another process that is alive: the one that started this.
    writeFileSync(join(out, 'run.lock'), `${process.ppid}\n`);
    expectLine(
      () => new RunFolder(out).create([]),
      OptionError,
      /another run \(process \d+\) writes into .*shared: wait/,
    );
    await expectRefusedAtOnce(['--out', out], /another run \(process \d+\) writes into/);
    first.release();
    // One that has died, and one whose number another process has by now.
    for (const owner of ['4194304999', `${process.ppid} 1`].slice(0, existsSync('/proc/self/stat') ? 2 : 1)) {
      writeFileSync(join(out, 'run.lock'), `${owner}\n`);
      const next = new RunFolder(out);
      next.create([]);
      next.release();
    }
    expect(readdirSync(out)).toEqual(['metrics.jsonl']);
  });
});

describe('a checkpoint', () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'with %s among its weights is refused where it is read',
    (value) => {
      const wanted = new RegExp(`bad: tensor encoder\\.0\\.bias is ${value} at element 2`);
      expectLine(() => decodeCheckpoint(checkpointFile(1, [1, 2, value]), 'bad'), CheckpointError, wanted);
      expectLine(() => decodeTrained(checkpointFile(1, [1, 2, value]), 'bad'), CheckpointError, wanted);
      const weights = encodeSafetensors(
        { w: { dtype: 'F32', shape: [1], data: Float32Array.of(value) } },
        { format: 'pt', options: JSON.stringify(options) },
      );
      expectLine(() => decodeTrained(weights, 'bad'), CheckpointError, /bad: tensor w is/);
    },
  );

  test('of a step that its run has not is refused', () => {
    expect(decodeCheckpoint(checkpointFile(30, [1]), 'good').step).toBe(30);
    expectLine(() => decodeCheckpoint(checkpointFile(31, [1]), 'bad'), CheckpointError, /after step 31 of a run of 30/);
    expectLine(
      () => decodeCheckpoint(checkpointFile(4294967295, [1]), 'bad'),
      CheckpointError,
      /step 4294967295 of a run of 30/,
    );
    const long = { ...progress, epochs: 1e15 };
    expectLine(
      () => decodeCheckpoint(checkpointFile(4294967295, [1], long), 'bad'),
      CheckpointError,
      /of a run of 2147483648/,
    );
  });

  test('without the numbers of its run is refused', () => {
    for (const change of [{ batch: 0 }, { data: {} }, { epochs: 'many' }, { options: undefined }]) {
      const bytes = checkpointFile(1, [1], { ...progress, ...change });
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
    expectLine(() => readSaved(join(scratch, 'none'), undefined), CheckpointError, /no checkpoint in/);
  });
});
