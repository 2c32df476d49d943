// What the studio's play page computes of codes, against formulas and data whose answer is known.
import { expect, test } from 'vitest';
import { between, carried, codeAt, nearest, orderOf, planeOf, project, rankOf } from '../demos/studio/play/analysis.ts';
import { newestOnly } from '../demos/studio/play/latest.ts';
import { randomFrom } from './numbers.ts';

const COUNT = 400;

/** Codes that vary along given directions, at right angles to each other, by given deviations, around a centre. */
function spread(directions: readonly (readonly number[])[], deviations: readonly number[], center: readonly number[]) {
  const random = randomFrom(7);
  const size = center.length;
  const mean = new Float32Array(COUNT * size);
  for (let row = 0; row < COUNT; row++) {
    const amounts = deviations.map((deviation) => 2 * deviation * (random() - 0.5));
    for (let i = 0; i < size; i++) {
      mean[row * size + i] =
        center[i]! + directions.reduce((sum, direction, k) => sum + amounts[k]! * direction[i]!, 0);
    }
  }
  return { mean, size, count: COUNT };
}

test('the plane of the codes is that in which they vary most', () => {
  const [s, h] = [Math.SQRT1_2, 0.5];
  const directions = [
    [s, s, 0, 0],
    [h, -h, h, h],
    [0, 0, s, -s],
  ];
  const codes = spread(directions, [3, 1, 0.1], [1, 2, 3, 4]);
  const plane = planeOf(codes);
  for (const k of [0, 1]) {
    const cosine = plane.axes[k]!.reduce((sum, x, i) => sum + x * directions[k]![i]!, 0);
    expect(Math.abs(cosine)).toBeGreaterThan(0.995);
  }
  expect(plane.share).toBeGreaterThan(0.99);
  // A place of the map stands for the code that is projected to it.
  const [u, v] = project({ mean: codeAt(plane, 1.5, -0.5), size: 4, count: 1 }, plane);
  expect(u).toBeCloseTo(1.5, 5);
  expect(v).toBeCloseTo(-0.5, 5);
});

test('codes of one or two numbers are the map themselves', () => {
  const two = planeOf({ mean: Float32Array.of(1, 2, 3, 4), size: 2, count: 2 });
  expect([...codeAt(two, 5, 6)]).toEqual([5, 6]);
  const one = planeOf({ mean: Float32Array.of(1, 2), size: 1, count: 2 });
  expect([...codeAt(one, 5, 6)]).toEqual([5]);
  expect([...project({ mean: Float32Array.of(1, 2), size: 1, count: 2 }, one)]).toEqual([1, 0, 2, 0]);
});

test('codes that do not vary have a plane all the same', () => {
  const plane = planeOf({ mean: new Float32Array(12).fill(2), size: 3, count: 4 });
  expect([...codeAt(plane, 1, 1)].every(Number.isFinite)).toBe(true);
});

test('a dimension carries what its posterior differs from the prior', () => {
  const mean = Float32Array.of(0, 2, 0, -2, 0, 1);
  const logvar = Float32Array.of(0, Math.log(0.25), 0, Math.log(0.25), 0, 0);
  const kl = carried({ mean, logvar, size: 2, count: 3 });
  const one = (m: number, variance: number) => 0.5 * (m * m + variance - 1 - Math.log(variance));
  expect(kl[0]).toBe(0);
  expect(kl[1]).toBeCloseTo((2 * one(2, 0.25) + one(1, 1)) / 3, 6);
  expect(orderOf(kl)).toEqual([1, 0]);
});

test('neighbours, ways and ranks', () => {
  const rows = Float32Array.of(0, 0, 3, 4, 1, 0);
  expect(nearest(rows, [0, 0], 2)).toEqual([
    { index: 0, distance: 0 },
    { index: 2, distance: 1 },
  ]);
  expect([...between([0, 1], [3, -2], 4)]).toEqual([0, 1, 1, 0, 2, -1, 3, -2]);
  expect(rankOf([1, 2, 3, 4], 2.5)).toBe(0.5);
});

test('of what waits, only the newest is done', async () => {
  const done: number[] = [];
  let release = () => {};
  const ask = newestOnly(async (i: number) => {
    await new Promise<void>((resolve) => (release = resolve));
    done.push(i);
  });
  for (const i of [1, 2, 3]) ask(i);
  release();
  await new Promise((resolve) => setTimeout(resolve));
  release();
  await new Promise((resolve) => setTimeout(resolve));
  expect(done).toEqual([1, 3]);
});
