// Counter-based random numbers (Philox 4×32-10): the same seed, counter and stream give the same bits anywhere.

import functions from '../../shaders/random.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { less } from './elementwise.ts';
import { Expr, wgsl } from './expression.ts';
import { halfBits, permute, philox } from './philox.ts';
import { Variable } from './source.ts';
import {
  apply,
  type Emitter,
  type NdArray,
  type Op,
  type RandomInt,
  type Shape,
  sameShape,
  show,
  sizeOf,
  type Tensor,
} from './tensor.ts';

interface RandomAttrs {
  readonly shape: Shape;
  /** Distinguishes ops that draw at the same counter. */
  readonly stream: number;
}

function checkKey(key: Tensor | undefined): void {
  if (key?.dtype !== 'u32' || key.size !== 2) throw new ShapeError('wants a key of two u32');
}

/** The two words of a key. */
function keyWords(emitter: Emitter, key: Tensor): Expr[] {
  return [0, 1].map((i) => emitter.value(key, [Affine.constant(i)]));
}

const KEY = { shape: [2], dtype: 'u32', min: 0, max: 1e6 } as const;
const INPUTS = [KEY, { shape: [], dtype: 'u32', min: 0, max: 1e6 }] as const;

/** Four words for the four elements that start at 4·block. */
function bits(inputs: readonly NdArray[], stream: number, block: number) {
  const [key, counter] = inputs;
  return philox([block, counter!.data[0]!, stream, 0], [key!.data[0]!, key!.data[1]!]);
}

/* @__NO_SIDE_EFFECTS__ */
function define(
  name: string,
  fromBits: string,
  fromBitsReference: (words: Uint32Array) => number[],
  tolerance: number,
): Op<RandomAttrs> {
  return defineOp<RandomAttrs>({
    name,
    traits: { flops: 100 },
    infer(inputs, { shape }) {
      checkKey(inputs[0]);
      if (inputs[1]?.dtype !== 'u32' || inputs[1].shape.length) throw new ShapeError('wants a counter: one u32');
      return { shape, dtype: 'f32' };
    },
    emit(emitter, { inputs, attrs, shape }, coords) {
      const [key, counter] = inputs as [Tensor, Tensor];
      const flat = emitter.flatten(coords, shape);
      const [block, lane] = emitter.divmod(flat, 4);
      const words = keyWords(emitter, key);
      const count = emitter.value(counter, []);
      const random = wgsl`philox(vec4u(${block}, ${count}, ${attrs.stream >>> 0}u, 0u), vec2u(${Expr.join(words, ', ')}))`;
      const four = emitter.let(emitter.use(wgsl`${fromBits}(${random})`, functions));
      return emitter.component(four, lane);
    },
    check: CHECKS && {
      tolerance,
      reference(inputs, { stream }, shape) {
        const out = new Float64Array(sizeOf(shape));
        for (let flat = 0; flat < out.length; flat += 4) {
          const four = fromBitsReference(bits(inputs, stream, flat / 4));
          for (let lane = 0; lane < 4 && flat + lane < out.length; lane++) out[flat + lane] = four[lane]!;
        }
        return out;
      },
      samples: [
        { inputs: INPUTS, attrs: { shape: [3, 8], stream: 1 } },
        { inputs: INPUTS, attrs: { shape: [5, 7], stream: 2 } },
        { inputs: INPUTS, attrs: { shape: [], stream: 3 } },
      ],
      random: (int: RandomInt) => ({
        inputs: INPUTS,
        attrs: { shape: [int(1, 9), int(1, 9)], stream: int(0, 1000) },
      }),
    },
  });
}

const SCALE = 2 ** -24;

export const uniformOp = define(
  'uniform',
  'uniform_from_bits',
  (words) => Array.from(words, (w) => (w >>> 8) * SCALE),
  1e-7,
);

function boxMuller(words: Uint32Array): number[] {
  const u = Array.from(words, (w) => ((w >>> 8) + 1) * SCALE);
  const radius = (i: number) => Math.sqrt(-2 * Math.log(u[i]!));
  return [0, 2].flatMap((i) => [Math.cos, Math.sin].map((f) => radius(i) * f(2 * Math.PI * u[i + 1]!)));
}

// WGSL promises the logarithm near 1 and the sine only to about 2⁻¹¹ absolute; what is lost is not seen in a normal.
export const normalOp = define('normal', 'normal_from_bits', boxMuller, 5e-3);

/** What random ops draw from: a key of two u32, and a counter that must differ between runs. */
export interface RandomKey {
  readonly key: Tensor;
  readonly counter: Tensor;
  /** Distinguishes draws of one run. */
  readonly stream: number;
}

/**
 * A key of a program's own.
 *
 * @param counter u32 scalar that differs between runs, such as an optimizer's step
 * @param stream tells apart draws that share seed and counter
 */
export function randomKey(seed: number, counter: Tensor, stream = 0): RandomKey {
  const words = () => Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
  return { key: new Variable('key', [2], { dtype: 'u32', init: words }).tensor, counter, stream };
}

/** Uniform numbers in [0, 1). */
export function uniform(shape: Shape, { key, counter, stream }: RandomKey): Tensor {
  return apply(uniformOp, [key, counter], { shape, stream });
}

/** Standard normal numbers. */
export function normal(shape: Shape, { key, counter, stream }: RandomKey): Tensor {
  return apply(normalOp, [key, counter], { shape, stream });
}

/** 1 with the given probabilities, else 0. No gradient flows through it. */
export function bernoulli(probability: Tensor, key: RandomKey): Tensor {
  return less(uniform(probability.shape, key), probability);
}

export const permutationOp = defineOp<{ count: number }>({
  name: 'permutation',
  traits: { flops: 300, long: true },
  infer([index, epoch, key], { count }) {
    if (index?.dtype !== 'u32' || epoch?.dtype !== 'u32') throw new ShapeError('wants indices and epochs of u32');
    if (!sameShape(index.shape, epoch.shape)) {
      throw new ShapeError(`wants one epoch an index, got ${show(index.shape)} and ${show(epoch.shape)}`);
    }
    checkKey(key);
    if (!(count > 0)) throw new ShapeError(`cannot permute ${count} things`);
    return { shape: index.shape, dtype: 'u32' };
  },
  emit(emitter, { inputs, attrs }, coords) {
    const [index, epoch, key] = inputs as [Tensor, Tensor, Tensor];
    const [low, high] = keyWords(emitter, key) as [Expr, Expr];
    const turned = wgsl`vec2u(${low} ^ ${emitter.value(epoch, coords)}, ${high})`;
    const call = wgsl`permute(${emitter.value(index, coords)}, ${attrs.count}u, ${halfBits(attrs.count)}u, ${turned})`;
    return emitter.use(call, functions);
  },
  check: CHECKS && {
    reference: ([index, epoch, key], { count }) =>
      index!.data.map((i, at) => permute(i, count, [(key!.data[0]! ^ epoch!.data[at]!) >>> 0, key!.data[1]!])),
    samples: [1, 2, 13, 1000].map((count) => ({
      inputs: [
        { shape: [count], dtype: 'u32', min: 0, max: count - 1 },
        { shape: [count], dtype: 'u32', min: 0, max: 3 },
        KEY,
      ],
      attrs: { count },
    })),
  },
});

/**
 * Where `index` goes in a shuffle of 0 … count−1; every epoch has its own.
 *
 * @param index u32 below `count`
 * @param epoch u32, of the same shape
 * @param key two u32
 */
export function permutation(index: Tensor, epoch: Tensor, key: Tensor, count: number): Tensor {
  return apply(permutationOp, [index, epoch, key], { count });
}
