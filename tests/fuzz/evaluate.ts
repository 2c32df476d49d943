// A float64 evaluator of traced graphs, op by op, before anything is simplified. It shares no code with the compiler, nor with
// the references beside the ops: it reads names, attributes and shapes. What it gives is what the graph means; the samples
// of a value (see values.ts) say how far f32 may be from that.
import type { Graph } from '../../src/graph/graph.ts';
import type { Block, Variable } from '../../src/ops/source.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import { type Computed, EXACT, kernels } from './kernels.ts';
import { type Pointwise, pointwise } from './pointwise.ts';
import { textKernels } from './text.ts';
import {
  coordsOf,
  EPSILON,
  HUGE,
  limitRange,
  Noise,
  roundToHalf,
  SAMPLES,
  type Sampled,
  sizeOf,
  spreadAt,
  type Value,
} from './values.ts';
import { broadcastFlat, sourcesOf, views } from './views.ts';

/** What lies in the storages of variables, by element; parts of a packed storage lie in the same arrays. */
export type Memory = Map<Block, Float64Array[]>;

/** Data of inputs by name; of f16, the numbers and not the bits. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

export interface Options {
  /** Samples of each value: five to know tolerances; one, without noise and without the limits of f32, for differences. */
  readonly samples?: 1 | typeof SAMPLES;
  readonly seed?: number;
  /** What intermediate results may be stored as: f32 by default. */
  readonly storage?: 'f32' | 'f16';
}

/** Evaluates nodes of one graph at one step: every variable is what it was before the step. */
export class Evaluator {
  private readonly inputs: Inputs;
  private readonly memory: Memory;
  private readonly count: number;
  private readonly half: boolean;
  private readonly noise: Noise;
  private readonly known = new Map<Tensor, Value>();
  /** Of ops of several results, these. */
  private readonly several = new Map<Tensor, readonly Value[]>();

  constructor(inputs: Inputs, memory: Memory, { samples = SAMPLES, seed = 1, storage = 'f32' }: Options = {}) {
    this.inputs = inputs;
    this.memory = memory;
    this.count = samples;
    this.half = storage === 'f16';
    this.noise = new Noise(seed * 7919 + 17);
  }

  /** The value of a node; what it is made of is evaluated first, without recursion. */
  value(root: Tensor): Value {
    const stack = [root];
    while (stack.length) {
      const node = stack.at(-1)!;
      const missing = this.known.has(node) ? [] : node.inputs.filter((input) => !this.known.has(input));
      if (missing.length) stack.push(...missing);
      else {
        stack.pop();
        if (!this.known.has(node)) this.known.set(node, this.compute(node));
      }
    }
    return this.known.get(root)!;
  }

  private compute(node: Tensor): Value {
    const { name } = node.op;
    const inputs = node.inputs.map((input) => this.known.get(input)!);
    if (name === 'result') return this.several.get(node.inputs[0]!)![(node.attrs as { index: number }).index]!;
    if (name in kernels || name in textKernels) return this.kernel(node, inputs);
    const samples =
      name === 'input' || name === 'variable'
        ? this.source(node)
        : name in views
          ? this.view(node, inputs)
          : name === 'argmax'
            ? this.argmax(node, inputs[0]!)
            : name in pointwise
              ? this.pointwise(node, inputs, pointwise[name]!)
              : undefined;
    if (!samples)
      throw new Error(`tests/fuzz knows no op ${name}: add it to pointwise.ts, views.ts, kernels.ts or text.ts`);
    return name === 'input' || name === 'variable'
      ? { shape: node.shape, dtype: node.dtype, samples }
      : this.stored(node, samples);
  }

  /** A value as it may be stored. */
  private stored({ shape, dtype }: Pick<Value, 'shape' | 'dtype'>, samples: Float64Array[]): Value {
    if (this.count > 1) {
      if (dtype === 'f16') this.roundHalf(samples);
      else if (this.half && dtype === 'f32') this.blur(samples);
    }
    return { shape, dtype, samples };
  }

  private each<T = Float64Array>(make: (sample: number) => T): T[] {
    return Array.from({ length: this.count }, (_, sample) => make(sample));
  }

  private source(node: Tensor): Float64Array[] {
    if (node.op.name === 'input') {
      const { name } = node.attrs as { name: string };
      const data = this.inputs[name];
      if (data?.length !== sizeOf(node.shape)) throw new Error(`no data for input ${name}`);
      return this.each(() => Float64Array.from(data));
    }
    const { variable } = node.attrs as { variable: Variable };
    const start = startOf(variable);
    const all = memoryOf(this.memory, variable, this.count);
    return this.each((sample) => all[sample]!.slice(start, start + variable.size));
  }

  private view(node: Tensor, inputs: readonly Value[]): Float64Array[] {
    const sources = sourcesOf(node);
    return this.each((sample) =>
      Float64Array.from(sources, (from) => (from ? inputs[from.input]!.samples[sample]![from.at]! : 0)),
    );
  }

  private argmax(node: Tensor, x: Value): Float64Array[] {
    const length = x.shape.at(-1)!;
    const result = this.each(() => new Float64Array(sizeOf(node.shape)));
    const [exact, ...others] = result;
    for (let row = 0; row < exact!.length; row++) {
      const at = (k: number) => row * length + k;
      let best = 0;
      for (let k = 1; k < length; k++) if (x.samples[0]![at(k)]! > x.samples[0]![at(best)]!) best = k;
      for (const sample of result) sample[row] = best;
      // Any other that is as great within the noise may be found instead.
      for (let k = 0; k < length && this.count > 1; k++) {
        const apart = x.samples.map((sample) => sample[at(best)]! - sample[at(k)]!);
        if (k !== best && isUndecided(apart, x, at(best), x, at(k))) others[k % others.length]![row] = k;
      }
    }
    return result;
  }

  private pointwise(node: Tensor, inputs: readonly Value[], op: Pointwise): Float64Array[] {
    const size = sizeOf(node.shape);
    const whole = inputs.every(({ dtype }) => dtype === 'u32' || dtype === 'u8');
    const f = whole && op.u32 ? op.u32 : op.f;
    const places = inputs.map(({ shape }) => {
      const same = shape.length === node.shape.length && shape.every((dim, axis) => dim === node.shape[axis]);
      const places = new Uint32Array(size);
      const isOne = sizeOf(shape) === 1;
      for (let i = 0; i < size && !isOne; i++) places[i] = same ? i : broadcastFlat(coordsOf(i, node.shape), shape);
      return places;
    });
    const result = this.each(() => new Float64Array(size));
    const args = new Array<number>(inputs.length);
    for (let i = 0; i < size; i++) {
      for (let sample = 0; sample < this.count; sample++) {
        for (let k = 0; k < inputs.length; k++) args[k] = inputs[k]!.samples[sample]![places[k]![i]!]!;
        const value = f(...args);
        const terms = op.terms?.(...args) ?? 0;
        result[sample]![i] = whole && op.u32 ? value : this.rounded(value, result, sample, i, op, terms);
      }
      if ((op.cancels || op.rounding > BY_HARDWARE) && this.count > 1 && Number.isNaN(result[0]![i])) {
        const operands = inputs.map(({ samples }, k) => samples[0]![places[k]![i]!]!);
        if (!operands.some(Number.isFinite)) result[1]![i] = 0;
      }
      if ((op.compares || op.steps) && this.count > 1) this.leaveOpen(result, i, inputs, places, op);
    }
    if (!whole && node.dtype !== 'u32') {
      const finite = (i: number) => inputs.every(({ samples }, k) => Number.isFinite(samples[0]![places[k]![i]!]!));
      if (this.count > 1) limitRange(result, this.huge, (i) => !finite(i));
    }
    return result;
  }

  /** Gives the samples different outcomes where noise may decide. */
  private leaveOpen(
    result: Float64Array[],
    i: number,
    inputs: readonly Value[],
    places: readonly Uint32Array[],
    { f, compares, steps }: Pointwise,
  ): void {
    const [first, second] = inputs as [Value, Value?];
    const a = places[0]![i]!;
    if (compares && second) {
      const b = places[1]![i]!;
      const apart = first.samples.map((sample, k) => sample[a]! - second.samples[k]![b]!);
      if (isUndecided(apart, first, a, second, b)) result[1]![i] = 1 - result[0]![i]!;
      return;
    }
    if (!steps) return;
    const spread = spreadAt(first.samples, a);
    if (Number.isNaN(spread)) result[1]![i] = NaN;
    else if (spread > 0) {
      result[1]![i] = f(first.samples[0]![a]! + 8 * spread);
      result[2]![i] = f(first.samples[0]![a]! - 8 * spread);
    }
  }

  private rounded(
    value: number,
    result: Float64Array[],
    sample: number,
    i: number,
    { rounding, absolute = 0, exact = false }: Pointwise,
    terms: number,
  ): number {
    if (sample === 0 || (rounding === 0 && absolute === 0) || !Number.isFinite(value)) return value;
    const before = result[0]![i]!;
    if (exact && value === before && Math.fround(value) === value) return value;
    const size = rounding * EPSILON * Math.max(Math.abs(value), terms) + absolute;
    return value + this.noise.sign() * size;
  }

  private kernel(node: Tensor, inputs: readonly Value[]): Value {
    const kernel = (kernels[node.op.name] ?? textKernels[node.op.name])!;
    const types = node.results ?? [node];
    const finite = inputs.every(({ samples }) => samples[0]!.every(Number.isFinite));
    const computed = this.each((sample) => {
      const taken = inputs.map(({ shape, dtype, samples }): Sampled => ({ shape, dtype, data: samples[sample]! }));
      return [kernel(taken, node)].flat();
    });
    const values = types.map((type, r) => {
      const integral = type.dtype === 'u32' || type.dtype === 'u8';
      const results = computed.map((one) => one[r]!);
      const isRounded = !integral && !EXACT.has(node.op.name);
      if (isRounded) for (const one of results.slice(1)) this.blurred(one, results[0]!.data);
      const samples = results.map(({ data }) => data);
      if (!integral && this.count > 1) limitRange(samples, this.huge, () => !finite);
      if (EXPONENTIAL.has(node.op.name) && this.count > 1) leaveNanOpen(samples);
      return this.stored(type, samples);
    });
    this.several.set(node, values);
    return values[0]!;
  }

  /** What was rounded on the way gets noise. */
  private blurred({ data, terms = data, absolute = 0 }: Computed, exact: Float64Array): void {
    for (let i = 0; i < data.length; i++) {
      const value = data[i]!;
      // What f32 holds exactly, of terms that it holds exactly, was not rounded on the way.
      if (absolute === 0 && value === exact[i]! && isShort(value, terms[i]!)) continue;
      data[i] = value + this.noise.sign() * (4 * EPSILON * Math.abs(terms[i]!) + absolute);
    }
  }

  private get huge(): number {
    return this.half ? HUGE.f16 : HUGE.f32;
  }

  /** What may be stored as f16 may be rounded so: in the direction in which it was off before, since two errors may not cancel. */
  private blur([exact, ...others]: Float64Array[]): void {
    for (const sample of others) {
      for (let i = 0; i < sample.length; i++) {
        const value = sample[i]!;
        const sign = Math.sign(value - exact![i]!) || this.noise.sign();
        if (value !== 0) sample[i] = value + sign * (2 ** -10 * Math.abs(value) + 2 ** -23);
      }
    }
  }

  private roundHalf(samples: Float64Array[]): void {
    const before = samples.map((sample) => sample.slice());
    for (const sample of samples) for (let i = 0; i < sample.length; i++) sample[i] = roundToHalf(sample[i]!);
    for (let i = 0; i < samples[0]!.length; i++) {
      const spread = spreadAt(before, i);
      if (spread > 0) {
        samples[1]![i] = roundToHalf(before[0]![i]! + 8 * spread);
        samples[2]![i] = roundToHalf(before[0]![i]! - 8 * spread);
      }
      // Below the normal range, what is not stored may become 0.
      if (Math.abs(samples[0]![i]!) < 2 ** -14) samples[1]![i] = 0;
    }
  }
}

/** Whether a value is a multiple of 2⁻¹⁰ small enough that sums and products on the way to it are exact in f32. */
function isShort(value: number, terms: number): boolean {
  return Number.isInteger(value * 1024) && Math.abs(terms) * 1024 < 2 ** 24;
}

/** Kernels that take e to the power of what they are given. */
const EXPONENTIAL = new Set([
  'softmax',
  'softmaxRows',
  'logsumexp',
  'crossEntropy',
  'linearCrossEntropy',
  'attention',
  'maskedAttention',
]);

/** Units of rounding up to which an op is one of the hardware's, which pass NaN on; others are series, and give what they give. */
const BY_HARDWARE = 3;

/** WGSL lets a driver take it that nothing is NaN: SwiftShader's exp of NaN is 2^120, and its logarithm 89. */
function leaveNanOpen([exact, second]: readonly Float64Array[]): void {
  for (let i = 0; i < exact!.length; i++) if (Number.isNaN(exact![i]!)) second![i] = 0;
}

/** Whether two elements lie so near to each other that rounding may decide which is greater. */
function isUndecided(apart: readonly number[], a: Value, i: number, b: Value, j: number): boolean {
  const [x, y] = [a.samples[0]![i]!, b.samples[0]![j]!];
  const [left, right] = [spreadAt(a.samples, i), spreadAt(b.samples, j)];
  if (left === 0 && right === 0) return false;
  if (apart.every((distance) => distance === 0)) return false;
  if (Number.isNaN(left) || Number.isNaN(right)) return true;
  const most = Math.max(...apart);
  const least = Math.min(...apart);
  if (Number.isNaN(most)) return true;
  return Math.abs(x - y) <= 16 * Math.max(most - least, left + right) + 16 * EPSILON * (Math.abs(x) + Math.abs(y));
}

/** Where a variable begins in its storage's elements: those of types of less than four bytes have storages of their own. */
function startOf(variable: Variable): number {
  return variable.offset;
}

/** A storage's samples, with the first values of all that lies in it. */
function memoryOf(memory: Memory, variable: Variable, count: number): Float64Array[] {
  const storage = variable.place();
  let found = memory.get(storage);
  if (!found) {
    const first = new Float64Array(Math.max(storage.size, variable.size));
    for (const part of storage.variables) {
      const data = part.init?.();
      if (data) first.set(part.dtype === 'f16' ? Array.from(data, halfOf) : Array.from(data), startOf(part));
    }
    found = Array.from({ length: count }, () => first.slice());
    memory.set(storage, found);
  }
  return found;
}

/** The number that the bits of an f16 stand for. */
export function halfOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + mantissa) * 2 ** (exponent - 25) : mantissa * 2 ** -24);
}

/** The value of a variable as it lies in memory now. */
export function variableValue(memory: Memory, variable: Variable, count: 1 | typeof SAMPLES = SAMPLES): Value {
  const start = startOf(variable);
  const samples = memoryOf(memory, variable, count).map((sample) => sample.slice(start, start + variable.size));
  return { shape: variable.shape, dtype: variable.dtype, samples };
}

/** Computes the outputs of a step, and then writes all updates at once. */
export function evaluateStep(
  graph: Graph,
  inputs: Inputs,
  memory: Memory,
  options: Options = {},
): Record<string, Value> {
  const evaluator = new Evaluator(inputs, memory, options);
  const outputs = Object.fromEntries(
    Object.entries(graph.outputs).map(([name, node]) => [name, evaluator.value(node)]),
  );
  const values = graph.updates.map(({ value }) => evaluator.value(value));
  graph.updates.forEach(({ variable }, i) => {
    const all = memoryOf(memory, variable, options.samples ?? SAMPLES);
    all.forEach((sample, k) => {
      sample.set(values[i]!.samples[k]!, startOf(variable));
    });
  });
  return outputs;
}
