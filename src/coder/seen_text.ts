// What the text itself has taught so far: how often each token followed the last few, of which the longest context that was met counts
// most (Witten and Bell, The Zero-Frequency Problem, 1991; interpolated as in Chen and Goodman, 1996, section 2.5), mixed with
// what the model says by weights that learn (Mattern, Mixing Strategies in Data Compression, 2012). Doubles in one order: the same
// bits in every engine.
import { exp, log } from './exact_math.ts';

/** Longest context. */
const ORDER = 6;
/** Step of the weights' descent. */
const RATE = 0.02;
/** So unlikely is no token, before it is mixed. */
const LEAST = -14;

interface Counts {
  total: number;
  readonly of: Map<number, number>;
}

/** Distributions of the next token, by the tokens so far and what a model says of it. */
export class MixedDistribution {
  private readonly mixed: Float64Array;
  private readonly size: number;
  private readonly contexts: Map<string, Counts>[] = Array.from({ length: ORDER + 1 }, () => new Map());
  private readonly past: number[] = [];
  /** Weights of the model's and of the counts' logarithms, for each longest context that was met. */
  private readonly weights = Array.from({ length: ORDER + 2 }, () => Float64Array.of(0.7, 0.4));
  private readonly model: Float64Array;
  private readonly counted: Float64Array;
  private readonly probabilities: Float64Array;
  private met: (Counts | undefined)[] = [];
  private longest = 0;

  constructor(size: number) {
    this.size = size;
    this.mixed = new Float64Array(size);
    this.model = new Float64Array(size);
    this.counted = new Float64Array(size);
    this.probabilities = new Float64Array(size);
  }

  private key(order: number): string {
    return String.fromCharCode(...this.past.slice(this.past.length - order).flatMap((t) => [t >>> 16, t & 0xffff]));
  }

  /** Weights of the tokens, above 0, by the model's logits. Their sum is 1, but for rounding. */
  distribution(logits: ArrayLike<number>): Float64Array {
    const { size, model, counted, mixed, probabilities } = this;
    this.setCounted();
    let most = -Infinity;
    for (let i = 0; i < size; i++) most = Math.max(most, logits[i]!);
    let total = 0;
    for (let i = 0; i < size; i++) total += exp(logits[i]! - most);
    const level = most + log(total);
    for (let i = 0; i < size; i++) model[i] = Math.max(LEAST, logits[i]! - level);
    const [ofModel, ofCounts] = this.weights[this.longest] as unknown as [number, number];
    most = -Infinity;
    for (let i = 0; i < size; i++) {
      mixed[i] = ofModel * model[i]! + ofCounts * counted[i]!;
      most = Math.max(most, mixed[i]!);
    }
    total = 0;
    for (let i = 0; i < size; i++) {
      probabilities[i] = exp(mixed[i]! - most);
      total += probabilities[i]!;
    }
    for (let i = 0; i < size; i++) probabilities[i] = probabilities[i]! / total;
    return probabilities;
  }

  /** Logarithms of the interpolated frequencies. */
  private setCounted(): void {
    const { size, counted, contexts, past } = this;
    counted.fill(1 / size);
    this.met = [];
    this.longest = 0;
    for (let order = 0; order <= Math.min(ORDER, past.length); order++) {
      const counts = contexts[order]!.get(this.key(order));
      this.met.push(counts);
      if (!counts) continue;
      this.longest = order + 1;
      const kinds = counts.of.size;
      const whole = counts.total + kinds;
      const rest = kinds / whole;
      for (let i = 0; i < size; i++) counted[i] = counted[i]! * rest;
      for (const [token, count] of counts.of) counted[token]! += count / whole;
    }
    // Of a large vocabulary most have never come, and are of one frequency.
    let [before, logarithm] = [1, 0];
    for (let i = 0; i < size; i++) {
      if (counted[i] !== before) {
        before = counted[i]!;
        logarithm = Math.max(LEAST, log(before));
      }
      counted[i] = logarithm;
    }
  }

  /** Learns what came, after `distribution`. */
  learn(token: number): void {
    const { size, model, counted, probabilities, contexts, past } = this;
    const weights = this.weights[this.longest]!;
    let [ofModel, ofCounts] = [model[token]!, counted[token]!];
    for (let i = 0; i < size; i++) {
      ofModel -= probabilities[i]! * model[i]!;
      ofCounts -= probabilities[i]! * counted[i]!;
    }
    weights[0] = Math.max(0, weights[0]! + RATE * ofModel);
    weights[1] = Math.max(0, weights[1]! + RATE * ofCounts);
    for (let order = 0; order <= Math.min(ORDER, past.length); order++) {
      let counts = this.met[order];
      if (!counts) {
        counts = { total: 0, of: new Map() };
        contexts[order]!.set(this.key(order), counts);
      }
      counts.total++;
      counts.of.set(token, (counts.of.get(token) ?? 0) + 1);
    }
    past.push(token);
    if (past.length > ORDER) past.shift();
  }
}
