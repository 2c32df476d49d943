// Which slots of 2^precision a symbol has, by weights of all symbols: what a stack pushes and pops by.
import type { AnsStack } from './rans.ts';

/**
 * The first slot of a symbol. Each has one slot at least, so that none is impossible.
 *
 * @param below how much of the distribution lies below it; beyond the last symbol, 1
 * @param room slots that are left when each symbol has one
 */
export const firstSlot = (symbol: number, below: number, room: number): number =>
  symbol + Math.floor(Math.min(1, below) * room);

export class Slots {
  private readonly count: number;
  private readonly precision: number;
  private readonly starts: Uint32Array;

  constructor(count: number, precision: number) {
    this.count = count;
    this.precision = precision;
    this.starts = new Uint32Array(count + 1);
    this.starts[count] = 2 ** precision;
  }

  /**
   * Each symbol gets one slot at least.
   *
   * @param weights not negative; of symbols beyond them, 0
   * @param total their sum, but for rounding
   */
  set(weights: Float64Array, total: number): void {
    const { starts, count, precision } = this;
    const room = 2 ** precision - count;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      starts[i] = firstSlot(i, sum / total, room);
      sum += weights[i] ?? 0;
    }
  }

  start(symbol: number): number {
    return this.starts[symbol]!;
  }

  frequency(symbol: number): number {
    return this.starts[symbol + 1]! - this.starts[symbol]!;
  }

  push(stack: AnsStack, symbol: number): void {
    stack.push(this.start(symbol), this.frequency(symbol), this.precision);
  }

  /** @returns the symbol */
  pop(stack: AnsStack): number {
    const { starts, precision } = this;
    const slot = stack.peek(precision);
    let [low, high] = [0, this.count - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= slot) low = middle;
      else high = middle - 1;
    }
    stack.drop(this.start(low), this.frequency(low), precision);
    return low;
  }
}
