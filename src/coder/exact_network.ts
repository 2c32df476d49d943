// Networks that compute the same bits on every adapter. Inputs, weights and sums are integers, and what a sum could reach at most stays
// below 2²⁴, where f32 is exact: in whatever order the terms are added, with fused multiply-add or without. What follows a sum is
// exact too: a product with a power of two, rounding down, a clamp, a look-up in a table of integers.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { add, clamp, floor, mul } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { matmul } from '../ops/matmul.ts';
import { input, tensor } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { toU32 } from '../ops/to_u32.ts';
import { compile } from '../runtime/compile.ts';
import type { Program } from '../runtime/program.ts';
import { powerOfTwo, tanh } from './exact_math.ts';

export type Activation = 'tanh' | 'relu' | 'none';

/** A layer as it was trained: weight [outputs, inputs] and bias [outputs], and what follows. */
export interface TrainedLayer {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: Activation;
}

/** Integers that stand for numbers: of size `most` at most, in units of `unit`. */
export interface Range {
  readonly unit: number;
  readonly most: number;
}

/** y = f(⌊(x·Wᵀ + bias)·factor⌋) of integers. */
export interface ExactLayer extends TrainedLayer {
  /** Powers of two, [outputs]. */
  readonly factor: Float32Array;
  /** Least and greatest integer that the activation is given. */
  readonly low: number;
  readonly high: number;
  /** Of tanh: its values from `low` to `high`. */
  readonly table: Float32Array | undefined;
}

/** Every sum must stay below this. */
const EXACT = 2 ** 24;
/** tanh is looked up at so many steps a unit, up to where it is 1 to 9 bits. */
const TANH_STEPS = 256;
const TANH_RANGE = 4;
/** What tanh's 1 is as an integer. */
const TANH_UNITS = 512;
/** The greatest integer that a ReLU gives. */
const RELU_MOST = 1023;
const MAX_SHIFT = 22;

const round = (x: number) => Math.floor(x + 0.5);

/** The integers of a layer, each output's weights in units that are as fine as its sum allows. */
function quantise(layer: TrainedLayer, from: Range, steps: number, clampTo: readonly [number, number]): ExactLayer {
  const { inputs, outputs } = layer;
  const weight = new Float32Array(layer.weight.length);
  const bias = new Float32Array(outputs);
  const factor = new Float32Array(outputs);
  for (let row = 0; row < outputs; row++) {
    let shift = MAX_SHIFT;
    for (; ; shift--) {
      const scale = from.unit * powerOfTwo(shift);
      const ratio = steps / powerOfTwo(shift);
      // Half a step, so that rounding down is rounding to the nearest, where half a step is an integer.
      const half = ratio <= 0.5 ? 0.5 / ratio : 0;
      bias[row] = round(layer.bias[row]! * powerOfTwo(shift)) + half;
      factor[row] = ratio;
      let most = Math.abs(bias[row]!);
      for (let i = row * inputs; i < (row + 1) * inputs; i++) {
        weight[i] = round(layer.weight[i]! * scale);
        most += Math.abs(weight[i]!) * from.most;
      }
      if (most < EXACT) break;
      if (shift < -30) throw new OptionError('a layer has weights that are too large to be made integers');
    }
  }
  const [low, high] = clampTo;
  return { ...layer, weight, bias, factor, low, high, table: undefined };
}

/**
 * The exact network of trained layers.
 *
 * @param scales one a layer: of a ReLU, steps a unit of what it gives; of the last layer, of the result; powers of two
 */
export function exactNetwork(layers: readonly TrainedLayer[], from: Range, scales: readonly number[]): ExactLayer[] {
  let range = from;
  return layers.map((layer, i) => {
    const scale = scales[i]!;
    if (layer.activation === 'tanh') {
      const most = TANH_STEPS * TANH_RANGE;
      const made = quantise(layer, range, TANH_STEPS, [-most, most]);
      range = { unit: 1 / TANH_UNITS, most: TANH_UNITS };
      const table = Float32Array.from({ length: 2 * most + 1 }, (_, k) =>
        round(tanh((k - most) / TANH_STEPS) * TANH_UNITS),
      );
      return { ...made, table };
    }
    const relu = layer.activation === 'relu';
    const made = quantise(layer, range, scale, relu ? [0, RELU_MOST] : [-EXACT, EXACT]);
    range = { unit: 1 / scale, most: RELU_MOST };
    return made;
  });
}

/** What the layers give as they were trained, in doubles, and the greatest activation of each. */
export function trainedForward(layers: readonly TrainedLayer[], x: Float64Array, rows: number) {
  const most: number[] = [];
  let values = x;
  for (const { weight, bias, inputs, outputs, activation } of layers) {
    const made = new Float64Array(rows * outputs);
    for (let row = 0; row < rows; row++) {
      for (let out = 0; out < outputs; out++) {
        let sum = bias[out]!;
        for (let i = 0; i < inputs; i++) sum += values[row * inputs + i]! * weight[out * inputs + i]!;
        made[row * outputs + out] = activation === 'tanh' ? tanh(sum) : activation === 'relu' ? Math.max(0, sum) : sum;
      }
    }
    most.push(made.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-6));
    values = made;
  }
  return { values, most };
}

/** The scale of each layer: of a ReLU the finest that holds what it gave; of the last, the result's. */
export function calibrate(layers: readonly TrainedLayer[], most: readonly number[], result: number): number[] {
  return layers.map(({ activation }, i) => {
    if (activation === 'none') return result;
    if (activation === 'tanh') return TANH_STEPS;
    return powerOfTwo(Math.floor(Math.log2(RELU_MOST / (1.25 * most[i]!))));
  });
}

/** Rows that are computed side by side, so that each weight is loaded once for all of them. */
const SIDE = 4;

/** Weights as [inputs, outputs], of layers whose inputs are mostly 0. */
const transposed = new WeakMap<ExactLayer, Float64Array>();

function transposedWeight(layer: ExactLayer): Float64Array {
  let found = transposed.get(layer);
  if (!found) {
    const { weight, inputs, outputs } = layer;
    found = Float64Array.from(
      { length: weight.length },
      (_, i) => weight[(i % outputs) * inputs + Math.floor(i / outputs)]!,
    );
    transposed.set(layer, found);
  }
  return found;
}

/** From this share of zeros on, what is 0 is passed over. */
const SPARSE = 0.7;

function sparseSums(layer: ExactLayer, x: Float32Array, rows: number): Float64Array {
  const { bias, inputs, outputs } = layer;
  const weight = transposedWeight(layer);
  const sums = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    const at = row * outputs;
    sums.set(bias, at);
    for (let i = 0; i < inputs; i++) {
      const value = x[row * inputs + i]!;
      if (value === 0) continue;
      const first = i * outputs;
      for (let out = 0; out < outputs; out++) sums[at + out]! += value * weight[first + out]!;
    }
  }
  return sums;
}

/** Sums of a layer: in doubles, which hold them all, so that their order does not matter here either. */
function sumsOf(layer: ExactLayer, x: Float32Array, rows: number): Float64Array {
  let zeros = 0;
  for (let i = 0; i < x.length; i++) if (x[i] === 0) zeros++;
  if (zeros > SPARSE * x.length) return sparseSums(layer, x, rows);
  const { weight, bias, inputs, outputs } = layer;
  const sums = new Float64Array(rows * outputs);
  let row = 0;
  for (; row + SIDE <= rows; row += SIDE) {
    const [a, b, c, d] = [0, 1, 2, 3].map((k) => (row + k) * inputs) as [number, number, number, number];
    for (let out = 0; out < outputs; out++) {
      const first = out * inputs;
      let [s0, s1, s2, s3] = [bias[out]!, bias[out]!, bias[out]!, bias[out]!];
      for (let i = 0; i < inputs; i++) {
        const w = weight[first + i]!;
        s0 += x[a + i]! * w;
        s1 += x[b + i]! * w;
        s2 += x[c + i]! * w;
        s3 += x[d + i]! * w;
      }
      const at = row * outputs + out;
      sums[at] = s0;
      sums[at + outputs] = s1;
      sums[at + 2 * outputs] = s2;
      sums[at + 3 * outputs] = s3;
    }
  }
  for (; row < rows; row++) {
    for (let out = 0; out < outputs; out++) {
      let sum = bias[out]!;
      for (let i = 0; i < inputs; i++) sum += x[row * inputs + i]! * weight[out * inputs + i]!;
      sums[row * outputs + out] = sum;
    }
  }
  return sums;
}

/** What the network gives, computed here: what every adapter must give to the bit. */
export function exactForward(layers: readonly ExactLayer[], x: Float32Array, rows: number): Float32Array {
  return layers.reduce((values, layer) => {
    const { factor, outputs, low, high, table } = layer;
    const made = Float32Array.from(sumsOf(layer, values, rows));
    for (let i = 0; i < made.length; i++) {
      const at = Math.min(high, Math.max(low, Math.floor(made[i]! * factor[i % outputs]!)));
      made[i] = table ? table[at - low]! : at;
    }
    return made;
  }, x);
}

function graphOf(layers: readonly ExactLayer[], x: Tensor): Tensor {
  return layers.reduce((values, { weight, bias, factor, inputs, outputs, low, high, table }) => {
    const sums = add(matmul(values, tensor(weight, [outputs, inputs]), { transposeB: true }), tensor(bias, [outputs]));
    const at = clamp(floor(mul(sums, tensor(factor, [outputs]))), low, high);
    return table ? gather(tensor(table), toU32(add(at, -low))) : at;
  }, x);
}

/** Rows at once: a program each, of which the smallest that fits is run. */
const SIZES = [64, 512];
export const MOST_ROWS = SIZES.at(-1)!;

/** Up to so many rows are computed here: a device would take longer to answer. On the CPU, where it has no more cores than there are. */
const ROWS_HERE = { software: 12, gpu: 4 };

/** A network on a device. */
export class ExactProgram {
  private readonly gpu: Gpu;
  private readonly layers: readonly ExactLayer[];
  private readonly programs = new Map<number, Promise<Program>>();

  constructor(gpu: Gpu, layers: readonly ExactLayer[]) {
    this.gpu = gpu;
    this.layers = layers;
  }

  /**
   * The network's integers of some rows of integers: of few, computed here.
   *
   * @param x [rows, inputs]
   * @returns [rows, outputs]
   */
  async run(x: Float32Array, rows: number): Promise<Float32Array> {
    const here = this.gpu.adapter.software ? ROWS_HERE.software : ROWS_HERE.gpu;
    return rows <= here ? exactForward(this.layers, x, rows) : this.runOnDevice(x, rows);
  }

  /** The same, on the device however few they are. */
  async runOnDevice(x: Float32Array, rows: number): Promise<Float32Array> {
    const { inputs } = this.layers[0]!;
    const { outputs } = this.layers.at(-1)!;
    const result = new Float32Array(rows * outputs);
    for (let first = 0; first < rows; first += MOST_ROWS) {
      const some = Math.min(MOST_ROWS, rows - first);
      const size = SIZES.find((size) => size >= some)!;
      const program = await this.program(size);
      const padded = new Float32Array(size * inputs);
      padded.set(x.subarray(first * inputs, (first + some) * inputs));
      program.run({ x: padded });
      const made = (await program.read('y')) as Float32Array;
      result.set(made.subarray(0, some * outputs), first * outputs);
    }
    return result;
  }

  private program(size: number): Promise<Program> {
    let program = this.programs.get(size);
    if (!program) {
      const x = input('x', [size, this.layers[0]!.inputs]);
      program = compile(this.gpu, { outputs: { y: graphOf(this.layers, x) } });
      this.programs.set(size, program);
    }
    return program;
  }

  async destroy(): Promise<void> {
    for (const program of this.programs.values()) (await program).destroy();
  }
}
