// Random choices from lists of whole numbers: fast-check makes the lists, and shrinks them. Where a list ends, 0 follows,
// so the first of every set of choices is the simplest.
import fc from 'fast-check';
import type { Shape } from '../../src/ops/tensor.ts';
import { sizeOf } from './values.ts';

export class Picker {
  private readonly values: readonly number[];
  private at = 0;

  constructor(values: readonly number[]) {
    this.values = values;
  }

  /** 0 … count−1. */
  int(count: number): number {
    return (this.values[this.at++] ?? 0) % count;
  }

  between(least: number, most: number): number {
    return least + this.int(most - least + 1);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }

  /** True once in `count` times. */
  chance(count: number): boolean {
    return this.int(count) === count - 1;
  }

  pair(least: number, most: number): readonly [number, number] {
    return [this.between(least, most), this.between(least, most)];
  }

  /** A shape of rank 0 to 5: sizes that divide no tile, size 1, and now and then size 0. */
  shape(most: number, { least = 0, rank = this.between(least, 5) } = {}): Shape {
    const shape: number[] = [];
    for (let axis = 0; axis < rank; axis++) {
      const room = Math.max(1, Math.floor(most / Math.max(1, sizeOf(shape))));
      shape.push(Math.min(room, this.pick(SIZES[Math.min(rank, SIZES.length - 1)]!)));
    }
    if (rank > 0 && this.chance(40)) shape[this.int(rank)] = 0;
    return shape;
  }
}

/** By rank. */
const SIZES: readonly (readonly number[])[] = [
  [1],
  [3, 1, 4, 7, 8, 64, 65, 130, 257, 1000, 2100],
  [3, 1, 2, 4, 5, 8, 12, 17, 33, 64, 66, 130, 700],
  [3, 1, 2, 4, 5, 7, 8, 16, 19, 36],
  [2, 1, 3, 4, 5, 6, 8],
  [2, 1, 3, 4, 5],
];

/** What a random graph is built from: a list of numbers for each of its sources and steps, and for its ends. */
export interface Recipe {
  readonly sources: readonly (readonly number[])[];
  readonly steps: readonly (readonly number[])[];
  readonly ends: readonly number[];
}

const numbers = (length: number) => fc.array(fc.nat(0xffff), { minLength: length, maxLength: length, size: 'max' });

export function recipes(steps: number): fc.Arbitrary<Recipe> {
  return fc.record({
    sources: fc.array(numbers(16), { minLength: 1, maxLength: 6, size: 'max' }),
    steps: fc.array(numbers(32), { minLength: 1, maxLength: steps, size: 'max' }),
    ends: numbers(48),
  });
}
