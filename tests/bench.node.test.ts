// The bench's judge: it must find what is wrong with a result, however little, and nothing wrong with a right one.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { NdArray } from '../src/bench/arrays.ts';
import { type Convolution, convNetwork, mlpNetwork, outputPadding } from '../src/bench/network.ts';
import { type Row, ratioToGlia, select, shareOf, show, toJson } from '../src/bench/results.ts';
import { verify } from '../src/bench/verify.ts';
import { attentionTask, convTask, type Outcome, taskOf, trainTask } from '../src/bench/workloads.ts';
import { buildFreshPage } from '../src/cli/bench/fresh_pages.ts';
import { runPyTorch } from '../src/cli/bench/pytorch.ts';
import { OptionError } from '../src/errors.ts';
import { conv2dOp, conv2dWeightOp, convTranspose2dOp } from '../src/ops/conv.ts';
import type { Op } from '../src/ops/tensor.ts';
import { checkOf } from '../src/testing/samples.ts';

afterEach(() => vi.restoreAllMocks());

describe('products', () => {
  test.each(['nn', 'nt', 'tn'])('%s: one wrong number among all is found', async (form) => {
    const task = taskOf(`matmul-256-${form}`);
    if (task.kind !== 'matmul') throw new Error('no matmul');
    const [{ data: a }, { data: b }] = [task.a, task.b];
    const n = 256;
    const values = new Float32Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        for (let k = 0; k < n; k++) {
          values[i * n + j]! +=
            a[task.transposeA ? k * n + i : i * n + k]! * b[task.transposeB ? j * n + k : k * n + j]!;
        }
      }
    }
    expect(await verify(task, [{ values }])).toBeUndefined();
    values[n * n - 1]! += 0.5;
    expect(await verify(task, [{ values }])).toMatch(/^wrong: .* at 255$/);
    expect(await verify(task, [{ values: values.subarray(1) }])).toMatch(/^wrong: 65535 numbers instead of 65536$/);
  });
});

test('attention: gradients that are those of its loss, and one wrong number among them is found', async () => {
  const task = attentionTask(5, 2, 4);
  const [q, k, v, g] = task.arrays.map(({ data }) => Float64Array.from(data)) as Float64Array[];
  const loss = () => {
    let total = 0;
    for (let head = 0; head < 2; head++) {
      for (let i = 0; i < 5; i++) {
        const at = (j: number) => (j * 2 + head) * 4;
        const dot = (a: Float64Array, from: number, b: Float64Array, to: number) =>
          [0, 1, 2, 3].reduce((sum, d) => sum + a[from + d]! * b[to + d]!, 0);
        const weights = Array.from({ length: i + 1 }, (_, j) => Math.exp(dot(q!, at(i), k!, at(j)) / 2));
        const sum = weights.reduce((a, b) => a + b);
        weights.forEach((weight, j) => {
          total += (weight / sum) * dot(g!, at(i), v!, at(j));
        });
      }
    }
    return total;
  };
  const values = Float64Array.from(
    [q!, k!, v!].flatMap((operand) =>
      Array.from(operand, (value, i) => {
        const [high, low] = [1e-5, -1e-5].map((step) => {
          operand[i] = value + step;
          return loss();
        });
        operand[i] = value;
        return (high! - low!) / 2e-5;
      }),
    ),
  );
  expect(await verify(task, [{ values }])).toBeUndefined();
  values[100]! += 0.01;
  expect(await verify(task, [{ values }])).toMatch(/^wrong: .* at 100$/);
});

describe('convolutions', () => {
  // Where the kernel does not meet the last row of pixels, and the images are higher than wide.
  const convolution: Convolution = { large: [3, 8, 7], small: [5, 4, 4], kernel: 3, stride: 2, padding: 1 };
  const attrs = { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 1 } as const;
  const float64 = ({ shape, data }: NdArray) => ({ shape, data: Float64Array.from(data) });

  test.each([
    { form: 'forward', of: ['images', 'weight'], shape: [2, 5, 4, 4], op: conv2dOp, more: {} },
    {
      form: 'input',
      of: ['cotangent', 'weight'],
      shape: [2, 3, 8, 7],
      op: convTranspose2dOp,
      more: { outputPadding: outputPadding(convolution) },
    },
    {
      form: 'weight',
      of: ['images', 'cotangent'],
      shape: [5, 3, 3, 3],
      op: conv2dWeightOp,
      more: { kernel: [3, 3] },
    },
  ] as const)('$form: one wrong number among all is found', async ({ form, of, shape, op, more }) => {
    const task = convTask(form, convolution, 2);
    const inputs = of.map((name) => float64(task[name]));
    const values = Float32Array.from(
      checkOf(op as Op).reference!(inputs, { ...attrs, ...more }, shape) as Float64Array,
    );
    expect(await verify(task, [{ values }])).toBeUndefined();
    const last = values.length - 1;
    values[last]! += 0.02;
    expect(await verify(task, [{ values }])).toMatch(new RegExp(`^wrong: .* at ${last}$`));
  });
});

test.each([
  ['the default VAE', mlpNetwork({ pixels: 784, hidden: [400], latent: 20 })],
  ['a convolutional VAE', convNetwork({ size: 28, widths: [32, 64], latent: 16 })],
])('a train step of %s: the expected losses are told, and what differs from them is wrong', async (_, network) => {
  const task = trainTask(network, 4);
  const judge = async (...losses: number[]) =>
    (await verify(
      task,
      losses.map((loss): Outcome => ({ values: [loss] })),
    )) ?? '';
  const expected = (text: string) => Number(/instead of (\S+)/.exec(text)?.[1]);
  const first = expected(await judge(0, 0));
  const second = expected(await judge(first, 0));
  expect(await judge(first, second)).toBe('');
  expect(second).toBeLessThan(first);
  expect(await judge(first, first)).toMatch(/for the loss after the first step/);
  expect(await judge(first, second * 1.001)).toMatch(/for the loss after the first step/);
  expect(await judge(Number.NaN, second)).toMatch(/for the first loss/);
});

test('a ratio is taken round by round, and a rate from the median', () => {
  // The machine became twice as slow after the first round, in which alone all engines took part.
  const cells: Row['cells'] = { glia: { samples: [1, 2, 2] }, jax: { samples: [3] }, tfjs: { error: 'failed: no' } };
  const row: Row = { id: 'x', name: 'x', unit: 'ms', work: { flops: 5e6, bytes: 1e6 }, cells };
  expect(ratioToGlia(row, 'jax')).toBe(3);
  expect(ratioToGlia(row, 'tfjs')).toBeUndefined();
  expect(show(row, 'glia')).toEqual({ median: '2.00', range: '1.00–2.00', ratio: '', rate: '2.50 GFLOP/s', error: '' });
  expect(show(row, 'tfjs').error).toBe('failed: no');
});

test('the share of the roof is that of the nearer ceiling, and stands in the file', () => {
  const ceilings = { gigaflops: 100, gigabytesPerSecond: 10 };
  const of = (flops: number, bytes: number): Row => {
    return { id: 'x', name: 'x', unit: 'ms', work: { flops, bytes }, cells: { glia: { samples: [4, 2, 8] } } };
  };
  // 1e8 operations take 1 ms at best, and 1e6 bytes 0.1 ms: a quarter of 4 ms.
  expect(shareOf(of(1e8, 1e6), 'glia', ceilings)).toBeCloseTo(0.25);
  expect(show(of(1e8, 1e6), 'glia').rate).toBe('25.0 GFLOP/s');
  expect(shareOf(of(1e6, 2e7), 'glia', ceilings)).toBeCloseTo(0.5);
  expect(show(of(1e6, 2e7), 'glia').rate).toBe('5.00 GB/s');
  const engines = ['glia', 'jax'] as const;
  const json = JSON.parse(toJson({ about: { adapter: 'a' }, ceilings, rounds: 3, engines, rows: [of(1e8, 1e6)] }));
  expect(json).toMatchObject({ adapter: 'a', ceilings, rounds: 3 });
  expect(json.rows[0].cells).toMatchObject([{ engine: 'Glia', median: 4, gigaflops: 25, share: 0.25 }, {}]);
});

test('workloads are chosen by name, or by the beginning of it', () => {
  const ids = ['matmul-512-nn', 'matmul-1024-nn', 'vae-128', 'memory'];
  expect(select(ids, undefined)).toEqual(ids);
  expect(select(ids, ['memory', 'matmul'])).toEqual(['matmul-512-nn', 'matmul-1024-nn', 'memory']);
  expect(() => select(ids, ['prod'])).toThrow(OptionError);
});

test('the page of first steps is built without what only tests define', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glia-test-'));
  try {
    await buildFreshPage(folder);
    const scripts = readdirSync(join(folder, 'assets')).filter((name) => name.endsWith('.js'));
    expect(scripts.length).toBeGreaterThan(1);
    for (const name of scripts)
      expect(readFileSync(join(folder, 'assets', name), 'utf8'), name).not.toMatch(/\bCHECKS\b/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("PyTorch's numbers", () => {
  const run = (script: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'glia-test-'));
    try {
      writeFileSync(join(folder, 'script.cjs'), script);
      const told = vi.spyOn(console, 'error').mockImplementation(() => {});
      return {
        cells: runPyTorch(process.execPath, join(folder, 'script.cjs')),
        told: told.mock.calls.flat().join('\n'),
      };
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test('are taken from what its script writes, round by round', () => {
    const measured = { device: 'a GPU', version: '9', eager: { 'vae-128': [2, 3] }, compiled: { 'vae-128': [1] } };
    const write = `require('fs').writeFileSync(process.argv[3], ${JSON.stringify(JSON.stringify(measured))})`;
    const { cells, told } = run(`if (process.argv[2] !== '--json') process.exit(1); ${write}`);
    expect(cells?.get('pytorch')).toEqual({ 'vae-128': [2, 3] });
    expect(cells?.get('pytorch-graphs')).toEqual({ 'vae-128': [1] });
    expect(told).toContain('PyTorch 9 on a GPU');
  });

  test('are left out where there is no PyTorch, and it is said why', () => {
    const { cells, told } = run("console.error('no CUDA device here'); process.exit(1)");
    expect(cells).toBeUndefined();
    expect(told).toContain('PyTorch is left out: no CUDA device here');
    expect(runPyTorch('no-such-python')).toBeUndefined();
  });
});
