// The bench's judge: it must find what is wrong with a result, however little, and nothing wrong with a right one.
import { describe, expect, test } from 'vitest';
import { verify } from '../demos/bench/verify.ts';
import { type Outcome, type TrainTask, WORKLOADS } from '../demos/bench/workloads.ts';
import { type Row, ratioToGlia, show } from '../src/cli/bench/results.ts';

const taskOf = (id: string) => WORKLOADS.find((workload) => workload.id === id)!.create();

describe('products', () => {
  test.each(['nn', 'nt', 'tn'])('%s: one wrong number among all is found', async (form) => {
    const task = taskOf(`product-256-${form}`);
    if (task.kind !== 'product') throw new Error('no product');
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

test('a train step: the expected losses are told, and what differs from them is wrong', async () => {
  const { batch, sizes, ...rest } = taskOf('vae-128') as TrainTask;
  const small: TrainTask = {
    ...rest,
    sizes,
    batch: 4,
    batches: rest.batches.map(({ images, noise }) => ({
      images: images.subarray(0, 4 * sizes.pixels),
      noise: noise.subarray(0, 4 * sizes.latent),
    })) as unknown as TrainTask['batches'],
  };
  const judge = async (...losses: number[]) =>
    (await verify(
      small,
      losses.map((loss): Outcome => ({ values: [loss] })),
    )) ?? '';
  const expected = (text: string) => Number(/instead of (\S+)/.exec(text)?.[1]);
  const first = expected(await judge(0, 0));
  const second = expected(await judge(first, 0));
  expect(await judge(first, second)).toBe('');
  expect(second).toBeLessThan(first);
  expect(await judge(first, first)).toMatch(/for the loss after the first step/);
  expect(await judge(Number.NaN, second)).toMatch(/for the first loss/);
});

test('a ratio is taken round by round', () => {
  // The machine became twice as slow after the first round, in which alone all engines took part.
  const cells: Row['cells'] = { glia: { samples: [1, 2, 2] }, jax: { samples: [3] }, tfjs: { error: 'failed: no' } };
  const row: Row = { id: 'x', name: 'x', unit: 'ms', cells };
  expect(ratioToGlia(row, 'jax')).toBe(3);
  expect(ratioToGlia(row, 'tfjs')).toBeUndefined();
  expect(show(row, 'glia')).toEqual({ median: '2.00', range: '1.00–2.00', ratio: '', error: '' });
  expect(show(row, 'tfjs').error).toBe('failed: no');
});
