// The steps of random graphs: each applies an op to what there is, with random attributes. Together they cover the registry
// (a test holds them against it).
import { gradients } from '../../src/graph/autodiff.ts';
import { topological } from '../../src/graph/graph.ts';
import { argmax } from '../../src/ops/argmax.ts';
import { attention } from '../../src/ops/attention.ts';
import { bernoulliNll, gaussianKl, gaussianNll, gelu, leakyRelu, silu } from '../../src/ops/composite.ts';
import { conv2d, convTranspose2d } from '../../src/ops/conv.ts';
import { crossEntropy } from '../../src/ops/cross_entropy.ts';
import {
  abs,
  add,
  cos,
  div,
  divideFloor,
  equal,
  erf,
  exp,
  expm1,
  floor,
  greater,
  isFinite,
  less,
  log,
  log1p,
  maximum,
  minimum,
  modulo,
  mul,
  neg,
  pow,
  relu,
  rsqrt,
  sigmoid,
  sign,
  sin,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
  toF16,
  toF32,
  where,
} from '../../src/ops/elementwise.ts';
import { embedding } from '../../src/ops/embedding.ts';
import { gather, oneHot, scatterAdd } from '../../src/ops/gather.ts';
import { geluTanh, geluTanhSlopeOp } from '../../src/ops/gelu_tanh.ts';
import { gru } from '../../src/ops/gru.ts';
import { matmul } from '../../src/ops/matmul.ts';
import { normalize } from '../../src/ops/norm.ts';
import { discretizedLogisticNll, logisticMixtureNll } from '../../src/ops/observation.ts';
import { patches, sumPatches, type Window } from '../../src/ops/patches.ts';
import { avgPool2d, maxPool2d, upsample2d } from '../../src/ops/pool.ts';
import { normal, permutation, uniform } from '../../src/ops/random.ts';
import { logsumexp, max, mean, sum } from '../../src/ops/reduce.ts';
import { rotary } from '../../src/ops/rotary.ts';
import { layerNormRows, rmsNormRows } from '../../src/ops/row_norm.ts';
import { logSoftmax, softmax, softmaxRowsGradientOp, softmaxRowsOp } from '../../src/ops/softmax.ts';
import { constant, iota } from '../../src/ops/source.ts';
import { apply, resultOp, type Shape, type Tensor } from '../../src/ops/tensor.ts';
import { toU32 } from '../../src/ops/to_u32.ts';
import { variance } from '../../src/ops/variance.ts';
import {
  broadcastTo,
  concat,
  pack,
  padTo,
  reshape,
  sliceOp,
  stopGradient,
  stopGradientOp,
  transpose,
} from '../../src/ops/view.ts';
import type { Builder } from './builder.ts';
import type { Picker } from './picker.ts';
import { sizeOf } from './values.ts';

/** Functions of one number, with the bound of the result; those of a smaller domain get what lies in it. */
const UNARY: readonly ((x: Tensor, bound: number) => [Tensor, number])[] = [
  (x, b) => [relu(x), b],
  (x, b) => [neg(x), b],
  (x, b) => [abs(x), b],
  (x) => [sign(x), 1],
  (x, b) => [square(x), b * b],
  (x, b) => [sqrt(add(abs(x), 0.25)), b],
  (x) => [rsqrt(add(square(x), 0.25)), 2],
  (x, b) => (b > 6 ? [exp(tanh(x)), 3] : [exp(x), Math.exp(b)]),
  (x) => [expm1(minimum(x, 2)), 7],
  (x) => [log(add(abs(x), 0.125)), 6],
  (x, b) => (b > 8 ? [sin(tanh(x)), 1] : [sin(x), 1]),
  (x, b) => (b > 8 ? [cos(tanh(x)), 1] : [cos(x), 1]),
  (x) => [tanh(x), 1],
  (x) => [sigmoid(x), 1],
  (x, b) => [softplus(x), b + 1],
  (x) => [erf(x), 1],
  (x) => [isFinite(x), 1],
  (x, b) => [gelu(x), b],
  (x, b) => [silu(x), b],
  (x, b) => [geluTanh(x), b],
  (x) => [apply(geluTanhSlopeOp, [x], {}), 2],
  (x, b) => [leakyRelu(x, 0.125), b],
  (x, b) => [stopGradient(x), b],
  (x, b) => [log1p(abs(x)), b],
  (x, b) => [floor(x), b + 1],
  (x) => [pow(add(abs(tanh(x)), 0.5), 1.5), 2],
];

const BINARY: readonly ((x: Tensor, y: Tensor, a: number, b: number) => [Tensor, number])[] = [
  (x, y, a, b) => [add(x, y), a + b],
  (x, y, a, b) => [mul(x, y), a * b],
  (x, y, a, b) => [sub(x, y), a + b],
  (x, y, a) => [div(x, add(abs(y), 0.5)), 2 * a],
  (x, y, a, b) => [maximum(x, y), Math.max(a, b)],
  (x, y, a, b) => [minimum(x, y), Math.max(a, b)],
  (x, y) => [greater(x, y), 1],
  (x, y) => [less(x, y), 1],
  (x, y) => [equal(x, y), 1],
  (x, y, a, b) => [where(greater(x, 0), x, y), Math.max(a, b)],
  (x, y, a, b) => [bernoulliNll(x, sigmoid(y)), 1 + a + b],
  (x, y, _, b) => [gaussianKl(x, tanh(y)), 4 + b * b],
  (x, y, a, b) => [gaussianNll(x, tanh(y), y), 4 + 3 * (a + b) ** 2],
];

const WHOLE: readonly ((x: Tensor, y: Tensor) => Tensor)[] = [
  (x, y) => add(x, y),
  (x, y) => mul(x, y),
  (x, y) => sub(x, y),
  (x, y) => modulo(x, add(modulo(y, 9), 1)),
  (x, y) => divideFloor(x, add(modulo(y, 9), 1)),
  (x) => modulo(x, 7),
  (x) => divideFloor(x, 3),
  (x) => div(x, 5),
  (x, y) => maximum(x, y),
  (x, y) => minimum(x, y),
  (x, y) => where(greater(x, y), x, y),
];

/** Rows, columns, and whatever axes. */
function axesOf(p: Picker, shape: Shape): number[] {
  const rank = shape.length;
  if (p.int(3) === 0) return [rank - 1];
  const axes = [...shape.keys()].filter(() => p.int(2) === 0);
  return axes.length ? axes : [p.int(rank)];
}

function smallWindow(p: Picker, [, height, width]: Shape): Window {
  const kernel = p.pair(1, 3);
  const stride = p.pair(1, 3);
  const dilation = p.chance(4) ? ([-1, -2] as const) : p.pair(1, 2);
  return { kernel, stride, dilation, start: p.pair(-2, 1), out: [1 + p.int(height!), 1 + p.int(width!)] };
}

const imageShape = (p: Picker): [number, number, number, number] => [...p.pair(1, 3), p.between(1, 7), p.between(1, 7)];

const multiple = (p: Picker, groups: number) => groups * p.pick([1, 2, 3, 4, 5]);

function keyOf(b: Builder, p: Picker) {
  const key = b.source(p, 'u32', [2]);
  return { key, counter: b.source(p, 'u32', []), stream: p.int(1000) };
}

function someShape(p: Picker, size: number): Shape {
  const factors = [1, 2, 3, 4, 5, 7, 8].filter((factor) => factor <= Math.max(1, size) && size % factor === 0);
  const first = p.pick(factors);
  const second = p.pick(factors.filter((factor) => size % (first * factor) === 0).concat(1));
  const rest = size / first / (size % (first * second) === 0 ? second : 1);
  const used = size % (first * second) === 0 ? second : 1;
  return p.pick([
    [size],
    [first, size / first],
    [size / first, first],
    [first, rest, used],
    [used, first, rest],
    [first, 1, size / first],
  ]);
}

/** As f32, which kernels that bind what they read want. */
const full = (x: Tensor) => (x.dtype === 'f16' ? mul(x, 1) : x);

/** Whether all that a value is made of has a derivative: what gradients of the ops of text are made of has none. */
export const isSmooth = (root: Tensor): boolean =>
  topological([root]).every(({ op, inputs, dtype }) => {
    const isFlat =
      dtype !== 'f32' || op === resultOp || op === stopGradientOp || !inputs.some((x) => x.dtype === 'f32');
    return isFlat || op.grad !== undefined || op.decompose !== undefined;
  });

/** Gradients of a weighted sum of a result, pushed if there are any. */
function pushGradients(b: Builder, p: Picker, y: Tensor, targets: readonly Tensor[]): void {
  const loss = sum(mul(y, b.fitted(p, y.shape)));
  if (isSmooth(loss)) for (const part of gradients(loss, targets)) b.push(part, 4096);
}

type Step = (b: Builder, p: Picker) => void;

export const STEPS = {
  unary(b, p) {
    const x = b.float(p);
    const [y, bound] = p.pick(UNARY)(x, b.boundOf(x));
    b.push(y, bound);
  },
  binary(b, p) {
    const x = b.float(p);
    const f = p.pick(BINARY);
    // Of one shape, or broadcast against each other.
    const some = x.shape.map((dim) => (p.chance(3) ? 1 : dim)).slice(p.chance(3) ? p.int(x.shape.length + 1) : 0);
    const other = b.fitted(p, f.length < 4 || p.int(2) === 0 ? x.shape : some);
    const same =
      String(other.shape) === String(x.shape) ? other : BINARY.indexOf(f) > 9 ? b.fit(other, x.shape, p) : other;
    const [y, bound] = f(x, same, b.boundOf(x), b.boundOf(same));
    b.push(y, bound);
  },
  number(b, p) {
    const x = b.float(p);
    const value = p.pick([0, 1, -1, 0.5, 2, 3]);
    const [y, bound] = p.pick(BINARY)(x, broadcastTo(constant(value), x.shape), b.boundOf(x), 3);
    b.push(y, bound);
  },
  whole(b, p) {
    const x = b.integer(p);
    const number = () => constant(p.pick([1, 3, 0xffffffff, 0x10001]), 'u32');
    const other = p.chance(3) ? number() : p.chance(5) ? p.pick(WHOLE)(number(), number()) : undefined;
    b.push(p.pick(WHOLE)(x, other ?? b.fit(b.integer(p), x.shape, p)));
  },
  wholeToFloat(b, p) {
    const x = p.chance(3) && b.bytes.length ? p.pick(b.bytes) : modulo(b.integer(p), p.pick([7, 100, 60000]));
    b.push(toF32(x), 60000);
  },
  compareWhole(b, p) {
    const x = b.integer(p);
    b.push(p.pick([equal, less, greater])(x, b.fit(b.integer(p), x.shape, p)), 1);
  },
  half(b, p) {
    const x = b.float(p);
    b.push(toF16(x), b.boundOf(x));
  },
  iota(b, p) {
    const shape = p.shape(b.most, { least: 1 });
    const dtype = p.pick(['u32', 'f32'] as const);
    b.push(iota(shape, p.int(shape.length), dtype), Math.max(1, ...shape));
  },
  reshape(b, p) {
    const x = p.chance(4) && b.integers.length ? b.integer(p) : b.float(p);
    b.push(reshape(x, someShape(p, x.size)), b.boundOf(x));
  },
  transpose(b, p) {
    const x = p.chance(4) && b.integers.length ? b.integer(p) : b.float(p);
    const axes = [...x.shape.keys()];
    for (let i = axes.length - 1; i > 0; i--) {
      const j = p.int(i + 1);
      [axes[i], axes[j]] = [axes[j]!, axes[i]!];
    }
    b.push(transpose(x, axes), b.boundOf(x));
  },
  broadcast(b, p) {
    const x = b.float(p);
    const grown = x.shape.map((dim) => (dim === 1 ? p.pick([3, 1, 4]) : dim));
    const shape = x.size * 4 <= b.most && grown.length < 5 ? [p.pick([2, 1, 3]), ...grown] : grown;
    if (sizeOf(shape) <= b.most) b.push(broadcastTo(x, shape), b.boundOf(x));
  },
  slice(b, p) {
    const x = p.chance(4) && b.integers.length ? b.integer(p) : b.float(p);
    const starts = x.shape.map((dim) => (p.chance(2) ? p.int(dim + 1) : 0));
    const sizes = x.shape.map((dim, axis) => (p.int(3) === 0 ? dim - starts[axis]! : p.int(dim - starts[axis]! + 1)));
    const some = sizes.map((size, axis) => (size === 0 && starts[axis]! < x.shape[axis]! && !p.chance(9) ? 1 : size));
    b.push(apply(sliceOp, [x], { starts, sizes: some }), b.boundOf(x));
  },
  pad(b, p) {
    const x = p.chance(4) && b.integers.length ? b.integer(p) : b.float(p);
    const starts = x.shape.map(() => p.int(4));
    const shape = x.shape.map((dim, axis) => dim + starts[axis]! + p.int(4));
    if (sizeOf(shape) <= 2 * b.most) b.push(padTo(x, shape, starts), b.boundOf(x));
  },
  concat(b, p) {
    const x = b.float(p);
    if (x.shape.length === 0) return;
    const axis = p.int(x.shape.length);
    const parts = Array.from({ length: p.pick([1, 2, 2, 3, 6]) }, () =>
      b.fitted(
        p,
        x.shape.map((dim, i) => (i === axis ? p.between(1, 5) : dim)),
      ),
    );
    const all = [x, ...parts].map((part) => (part.dtype === 'f16' ? mul(part, 1) : part));
    const result = concat(all, axis);
    if (result.size <= 2 * b.most) b.push(result, Math.max(...[x, ...parts].map((part) => b.boundOf(part))));
  },
  pack(b, p) {
    const parts = Array.from({ length: p.between(1, 5) }, () => b.float(p)).filter(({ size }) => size <= b.most);
    const all = parts.map((part) => (part.dtype === 'f16' ? mul(part, 1) : part));
    if (all.length) b.push(pack(all), Math.max(...parts.map((part) => b.boundOf(part))));
  },
  reduce(b, p) {
    const x = b.float(p);
    if (x.shape.length === 0) return;
    const axes = axesOf(p, x.shape);
    const options = { axis: axes, keepDims: p.chance(3) };
    const count = sizeOf(axes.map((axis) => x.shape[axis]!));
    const kind = count === 0 ? 0 : p.int(4);
    const bound = b.boundOf(x);
    if (kind === 0) b.push(sum(x, options), bound * Math.max(1, count));
    else if (kind === 1) b.push(max(x, options), bound);
    else if (kind === 2) b.push(logsumexp(x, options), bound + Math.log(count));
    else if (sizeOf(x.shape) > 0) b.push(mean(x, options), bound);
  },
  /** A mean and a variance: two sums that go through the same elements. */
  moments(b, p) {
    const x = b.float(p);
    if (x.shape.length === 0 || x.size === 0) return;
    const options = { axis: axesOf(p, x.shape), keepDims: true };
    const bound = b.boundOf(x);
    b.push(sub(mean(square(x), options), square(mean(x, options))), bound * bound);
  },
  matmul(b, p) {
    const [m, n, k] = [0, 1, 2].map(() => p.pick([3, 1, 2, 4, 5, 8, 12, 16, 17, 20, 33, 64, 70])) as [
      number,
      number,
      number,
    ];
    const batch = p.chance(3) ? [p.pick([2, 1, 3, 5])] : [];
    if (sizeOf(batch) * Math.max(m * n, m * k, n * k) > 2 * b.most) return;
    const options = { transposeA: p.chance(2), transposeB: p.chance(2) };
    const x = b.fitted(p, [...batch, ...(options.transposeA ? [k, m] : [m, k])]);
    const y = b.fitted(p, [...batch, ...(options.transposeB ? [n, k] : [k, n])]);
    b.push(matmul(x, y, options), k * b.boundOf(x) * b.boundOf(y));
  },
  argmax(b, p) {
    const x = b.float(p);
    if (x.shape.length === 0 || x.size === 0) return;
    b.push(argmax(x, p.int(x.shape.length)));
  },
  softmax(b, p) {
    const x = b.float(p);
    if (x.shape.length === 0 || x.size === 0) return;
    const axis = p.int(x.shape.length);
    if (p.chance(3)) {
      const length = x.shape.at(-1)!;
      const attrs = { log: p.chance(2) };
      const y = apply(softmaxRowsOp, [reshape(x, [x.size / length, length])], attrs);
      const g = b.fitted(p, y.shape);
      if (p.chance(2)) b.push(apply(softmaxRowsGradientOp, [y, g], attrs), (2 + length) * b.boundOf(g));
      else b.push(y, attrs.log ? 2 * b.boundOf(x) + 8 : 1);
    } else if (p.chance(2)) b.push(logSoftmax(x, axis), 2 * b.boundOf(x) + 8);
    else b.push(softmax(x, axis), 1);
  },
  crossEntropy(b, p) {
    const [count, classes] = [p.between(1, 12), p.between(1, 12)];
    const logits = b.fitted(p, [count, classes]);
    const labels = modulo(b.fit(b.integer(p), [count], p), classes);
    b.push(crossEntropy(logits, labels), 2 * b.boundOf(logits) + 4);
  },
  normalize(b, p) {
    const x = b.float(p);
    if (x.shape.length === 0 || x.size === 0) return;
    const axis = axesOf(p, x.shape);
    if (p.chance(3)) b.push(variance(x, { axis }), 4 * b.boundOf(x) ** 2);
    else b.push(normalize(x, axis, 0.1), 16);
  },
  gather(b, p) {
    const table = b.float(p);
    if (table.shape.length === 0 || table.size === 0) return;
    const width = sizeOf(table.shape.slice(1));
    const count = Math.max(1, Math.min(p.between(1, 40), Math.floor(b.most / width)));
    // Beyond the last row, that one is read.
    const index = modulo(
      b.fit(b.integer(p), p.chance(2) ? [count] : [1, count], p),
      table.shape[0]! + (p.chance(4) ? 2 : 0),
    );
    b.push(gather(table, index), b.boundOf(table));
  },
  scatterAdd(b, p) {
    const [count, rows, width] = [p.between(1, 40), p.between(1, 20), p.between(1, 9)];
    const index = modulo(b.fit(b.integer(p), [count], p), rows + (p.chance(4) ? 2 : 0));
    const values = b.fitted(p, p.chance(3) ? [count] : [count, width]);
    b.push(scatterAdd(values, index, rows), count * b.boundOf(values));
  },
  oneHot(b, p) {
    const classes = p.between(1, 9);
    const labels = modulo(b.integer(p), classes);
    if (labels.size * classes <= b.most && labels.shape.length < 5) b.push(oneHot(labels, classes), 1);
  },
  patches(b, p) {
    const shape = [p.between(1, 2), p.between(1, 6), p.between(1, 6), p.pick([1, 3, 4, 8])];
    const window = smallWindow(p, shape);
    const rows = shape[0]! * sizeOf(window.out);
    const columns = sizeOf(window.kernel) * shape[3]!;
    if (rows * columns > 2 * b.most) return;
    if (p.chance(2)) {
      const x = b.fitted(p, [rows, columns]);
      b.push(sumPatches(x, shape, window), 9 * b.boundOf(x));
    } else {
      const x = b.fitted(p, shape);
      b.push(patches(x, window), b.boundOf(x));
    }
  },
  conv(b, p) {
    const [n, , height, width] = imageShape(p);
    const groups = p.pick([1, 1, 2, 3]);
    const [cin, cout] = [multiple(p, groups), multiple(p, groups)];
    const kernel = p.pair(1, 3);
    const options = { stride: p.pair(1, 2), padding: p.pair(0, 2), dilation: p.pair(1, 2), groups };
    const x = b.fitted(p, [n, cin, height, width]);
    const transposed = p.chance(2);
    const w = b.fitted(p, transposed ? [cin, cout / groups, ...kernel] : [cout, cin / groups, ...kernel]);
    const bound = cin * sizeOf(kernel) * b.boundOf(x) * b.boundOf(w);
    const spots = [height, width].map((size, a) => {
      const reach = options.dilation[a as 0 | 1] * (kernel[a as 0 | 1] - 1) + 1;
      const [stride, padding] = [options.stride[a as 0 | 1], options.padding[a as 0 | 1]];
      return transposed
        ? (size - 1) * stride - 2 * padding + reach
        : Math.floor((size + 2 * padding - reach) / stride) + 1;
    });
    if (spots.some((count) => count < 1)) return;
    const result = transposed ? convTranspose2d(x, w, options) : conv2d(x, w, options);
    const y = b.push(result, bound);
    // Of its gradients, that of the weight is an op of its own.
    const loss = sum(square(y));
    if (p.chance(3) && isSmooth(loss)) b.push(gradients(loss, [w])[0]!, 4096);
  },
  pool(b, p) {
    const shape = imageShape(p);
    const x = b.fitted(p, shape);
    const bound = b.boundOf(x);
    if (p.chance(3)) {
      b.push(upsample2d(x, p.pair(1, 3), p.pick(['nearest', 'bilinear'] as const)), bound);
      return;
    }
    const kernel = [Math.min(p.between(1, 3), shape[2]), Math.min(p.between(1, 3), shape[3])] as const;
    const padding = [p.int((kernel[0] >> 1) + 1), p.int((kernel[1] >> 1) + 1)] as const;
    b.push(p.pick([maxPool2d, avgPool2d])(x, kernel, { stride: p.pair(1, 3), padding }), bound);
  },
  random(b, p) {
    const key = keyOf(b, p);
    const shape = p.shape(b.most);
    b.push(p.pick([uniform, normal])(shape, key), 6);
  },
  permutation(b, p) {
    const { key, counter } = keyOf(b, p);
    const count = p.pick([2, 1, 5, 13, 100]);
    const index = modulo(b.integer(p), count);
    b.push(permutation(index, broadcastTo(counter, index.shape), key, count));
  },
  /** Whole numbers from numbers that were computed. */
  toU32(b, p) {
    const x = b.float(p);
    if (x.dtype === 'f32') b.push(toU32(abs(x)));
  },
  rowNorm(b, p) {
    const width = 4 * p.between(1, 5);
    const x = b.fitted(p, [p.between(1, 9), width]);
    const weight = b.fitted(p, [width]);
    const centred = p.chance(2);
    const y = centred
      ? layerNormRows(full(x), full(weight), full(b.fitted(p, [width])), 0.1)
      : rmsNormRows(full(x), full(weight), 0.1);
    b.push(y, Math.sqrt(width) * b.boundOf(weight) + b.boundOf(x));
    if (p.chance(2)) pushGradients(b, p, y, [x]);
  },
  attention(b, p) {
    const [n, heads, size] = [p.between(1, 2), p.between(1, 3), p.pick([4, 8, 3])];
    const [t, s] = [p.between(1, 7), p.between(1, 7)];
    const operands = [t, s, s].map((rows) => full(b.fitted(p, [n, rows, heads * size]))) as [Tensor, Tensor, Tensor];
    // Which keys are seen must not hang on rounding: of a source, that is certain.
    const mask = p.chance(3)
      ? b.source(
          p,
          'f32',
          p.pick([
            [n, 1, 1, s],
            [1, heads, t, s],
          ]),
        )
      : undefined;
    const [y, lse] = attention(tanh(operands[0]), tanh(operands[1]), operands[2], {
      heads,
      causal: p.chance(3),
      ...(mask && { mask }),
    });
    b.push(y, b.boundOf(operands[2]));
    if (!mask && p.chance(3)) b.push(lse, 8);
    if (p.chance(2)) pushGradients(b, p, y, operands);
  },
  gru(b, p) {
    const [n, t, width] = [p.between(1, 5), p.between(1, 4), p.pick([4, 8, 3])];
    const shapes = [[n, t, 3 * width], [3 * width, width], [3 * width], [n, width]] as const;
    const [x, w, bias, initial] = shapes.map((shape) => tanh(full(b.fitted(p, shape)))) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const begins = p.chance(2);
    const y = gru(x, w, bias, begins ? { initial } : {});
    b.push(y, 1);
    if (p.chance(2)) pushGradients(b, p, y, [x, w, bias, ...(begins ? [initial] : [])]);
  },
  rotary(b, p) {
    const x = b.fitted(p, [p.between(1, 2), p.between(1, 6), p.between(1, 3), 2 * p.between(1, 4)]);
    b.push(rotary(full(x), { offset: p.int(4) }), 2 * b.boundOf(x));
  },
  embedding(b, p) {
    const [rows, width, count] = [p.between(1, 9), p.between(1, 8), p.between(1, 20)];
    const table = full(b.fitted(p, [rows, width]));
    const index = modulo(b.fit(b.integer(p), [count], p), rows);
    const y = b.push(embedding(table, index), b.boundOf(table));
    if (p.chance(2)) pushGradients(b, p, y, [table]);
  },
  likelihood(b, p) {
    const shape = [p.between(1, 4), p.between(1, 6)];
    const components = p.between(1, 3);
    const bytes = toF32(b.source(p, 'u8', shape));
    const means = (at: Shape) => mul(sigmoid(b.fitted(p, at)), 255);
    const scales = (at: Shape) => mul(tanh(b.fitted(p, at)), 3);
    if (p.chance(2)) b.push(discretizedLogisticNll(means(shape), scales(shape), bytes), 4096);
    else {
      const at = [components, ...shape];
      b.push(logisticMixtureNll(tanh(b.fitted(p, at)), means(at), scales(at), bytes), 4096);
    }
  },
  gradient(b, p) {
    const x = b.float(p);
    const target = p.chance(2) ? b.floats[0]! : b.float(p);
    if (x.dtype !== 'f32' || x.size === 0 || target.dtype !== 'f32') return;
    const loss = p.chance(2) ? mean(square(x)) : sum(mul(x, b.fitted(p, x.shape)));
    if (isSmooth(loss)) for (const part of gradients(loss, [target])) b.push(part, 4096);
  },
} satisfies Record<string, Step>;

export type StepName = keyof typeof STEPS;
