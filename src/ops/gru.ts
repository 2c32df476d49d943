// A gated recurrent unit over a sequence: one dispatch walks over time, forward, and one backward.
import forwardShader from '../../shaders/gru/forward.wgsl?raw';
import forwardWorkgroupShader from '../../shaders/gru/forward_workgroup.wgsl?raw';
import gradientShader from '../../shaders/gru/gradient.wgsl?raw';
import gradientWorkgroupShader from '../../shaders/gru/gradient_workgroup.wgsl?raw';
import gru_back from '../../shaders/include/gru_back.wgsl?raw';
import gru_cotangents from '../../shaders/include/gru_cotangents.wgsl?raw';
import gru_gate from '../../shaders/include/gru_gate.wgsl?raw';
import gru_operands from '../../shaders/include/gru_operands.wgsl?raw';
import gru_slopes from '../../shaders/include/gru_slopes.wgsl?raw';
import gru_step from '../../shaders/include/gru_step.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { include } from '../gpu/include.ts';
import { defineOp, type KernelSpec } from './define.ts';
import { add } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { sum } from './reduce.ts';
import { constant } from './source.ts';
import { spreadWorkgroups } from './spread_workgroups.ts';
import { apply, applyAll, type NdArray, type Sample, show, type Tensor } from './tensor.ts';
import { broadcastTo, padTo, reshape, slice } from './view.ts';

/** Greatest size of a state: that of one example fits the least workgroup memory that WebGPU promises. */
const MOST = 1024;

const got = (inputs: readonly Tensor[]) => inputs.map(({ dtype, shape }) => `${dtype}${show(shape)}`).join(', ');

function check(inputs: readonly Tensor[], wanted: (n: number, t: number, size: number) => readonly number[][]): void {
  const [n = 0, t = 0, wide = 0] = inputs[0]!.shape;
  const size = wide / 3;
  const shapes = wanted(n, t, size);
  const fits = inputs.every(({ dtype, shape }, i) => dtype === 'f32' && String(shape) === String(shapes[i]));
  if (fits && n > 0 && t > 0 && size > 0 && size % 4 === 0 && size <= MOST) return;
  throw new ShapeError(
    `wants f32 ${shapes.map(show).join(', ')} with states of 4, 8, … ${MOST} numbers, got ${got(inputs)}`,
  );
}

const texts = { gru_back, gru_cotangents, gru_gate, gru_operands, gru_slopes, gru_step };

/** Threads of a workgroup that wait for no other: few, so that a small batch keeps several cores busy. */
const ALONE = 4;

interface Walk extends Pick<KernelSpec, 'inputs' | 'outputs'> {
  /** By one thread for some examples, and by a workgroup. */
  readonly direct: string;
  readonly workgroup: string;
  /** Numbers in workgroup memory for each of a state. */
  readonly kept: number;
}

/**
 * Kernels that walk over time with some examples: by a workgroup, or by one thread, without barriers, for CPUs. Of several examples at
 * once each weight is loaded once; drivers with wide subgroups are slow to compile that for a thread.
 */
function kernels({ direct, workgroup, kept, inputs, outputs }: Walk): KernelSpec[] {
  const sizes = ({ inputs: [x] }: Tensor<object>) => {
    const [n, t, wide] = x!.shape as [number, number, number];
    return { n, t, size: wide / 3 };
  };
  /** @param slice examples of a thread or a workgroup, of which there are `together` in a workgroup */
  const by = (name: string, wgsl: string, slice: number, together: number, rule: Partial<KernelSpec>): KernelSpec => ({
    ...{ name, inputs, outputs, wgsl: include(wgsl, texts) },
    constants(node) {
      const { n, t, size } = sizes(node);
      return { BATCH: n, LENGTH: t, WIDTH: size / 4, SLICE: slice };
    },
    workgroups: (node) => spreadWorkgroups(Math.ceil(sizes(node).n / (slice * together))),
    flops(node) {
      const { n, t, size } = sizes(node);
      return 6 * n * t * size * size;
    },
    ...rule,
  });
  return [
    by('a workgroup for four examples', workgroup, 4, 1, {
      possible: (node, { software, limits }) =>
        !software && 16 * kept * sizes(node).size <= limits.maxComputeWorkgroupStorageSize,
      heuristic: (node) => sizes(node).n >= 256,
    }),
    by('a workgroup an example', workgroup, 1, 1, { possible: (_, { software }) => !software }),
    by('a thread for four examples', direct, 4, ALONE, {
      possible: (_, { software, subgroupSize }) => software && subgroupSize <= 4,
      heuristic: (node) => sizes(node).n >= 4,
    }),
    by('a thread an example', direct, 1, ALONE, {}),
  ];
}

/** Of x, a, the states, their cotangents and w: the gradients of x, of a and of the first state. */
export const gruGradientOp = defineOp({
  name: 'gruGradient',
  infer(inputs) {
    check(inputs, (n, t, size) => [
      [n, t, 3 * size],
      [n, t + 1, 3 * size],
      [n, t + 1, size],
      [n, t + 1, size],
      [3 * size, size],
    ]);
    const [x, a, y] = inputs.map(({ shape }) => shape);
    return [
      { shape: x!, dtype: 'f32' },
      { shape: a!, dtype: 'f32' },
      { shape: [y![0]!, y![2]!], dtype: 'f32' },
    ];
  },
  kernel: kernels({
    ...{ direct: gradientShader, workgroup: gradientWorkgroupShader, kept: 4 },
    inputs: ['x', 'a', 'y', 'g', 'w'],
    outputs: ['dx', 'da', 'dh0'],
  }),
  check: CHECKS && { reference: gradientReference, samples: [gradientSample(35, 3, 8)] },
});

/** Of x [N, T, 3·H], w [3·H, H], bias [3·H] and the first state [N, H]: the states [N, T + 1, H], the first in front. */
export const gruOp = defineOp({
  name: 'gru',
  infer(inputs) {
    check(inputs, (n, t, size) => [[n, t, 3 * size], [3 * size, size], [3 * size], [n, size]]);
    const [n, t, wide] = inputs[0]!.shape as [number, number, number];
    return { shape: [n, t + 1, wide / 3], dtype: 'f32' };
  },
  kernel: kernels({
    ...{ direct: forwardShader, workgroup: forwardWorkgroupShader, kept: 2 },
    inputs: ['x', 'w', 'bias', 'h0'],
    outputs: ['y'],
  }),
  grad(y, g) {
    const [x, w, bias] = y.inputs as readonly [Tensor, Tensor, Tensor];
    const [n, states, size] = y.shape as [number, number, number];
    const rows = reshape(y as Tensor, [n * states, size]);
    const a = reshape(add(matmul(rows, w, { transposeB: true }), bias), [n, states, 3 * size]);
    const [dx, da, dh0] = applyAll(gruGradientOp, [x, a, y as Tensor, g!, w], {}) as readonly [Tensor, Tensor, Tensor];
    const steps = reshape(da, [n * states, 3 * size]);
    return [dx, matmul(steps, rows, { transposeA: true }), sum(steps, { axis: 0 }), dh0];
  },
  check: CHECKS && {
    reference,
    samples: [sample(35, 3, 8), sample(3, 2, 68)],
    random: (int) => sample(int(1, 6), int(1, 5), 4 * int(1, 5)),
  },
});

export interface GruOptions {
  /** The first state, [N, H]; zeros by default. */
  readonly initial?: Tensor | undefined;
}

/**
 * A gated recurrent unit over sequences (Cho and others, 2014), as PyTorch computes it: gates r, z and n in this order, one below the
 * other in w. Forward and backward take one dispatch each for all of time; nothing of a step is kept but its state.
 *
 * @param x what the inputs give to the gates, [N, T, 3·H]: their matmul and bias
 * @param w [3·H, H], H being at most 1024
 * @param bias [3·H]
 * @returns the states [N, T, H]
 * @throws ShapeError if these do not fit one another
 */
export function gru(x: Tensor, w: Tensor, bias: Tensor, { initial }: GruOptions = {}): Tensor {
  const [n, t] = x.shape as [number, number];
  const size = w.shape[1] ?? 0;
  const own = Math.ceil(size / 4) * 4;
  const h0 = initial ?? broadcastTo(constant(0), [n, size]);
  const steps = (y: Tensor) => slice(slice(y, 1, 1, t + 1), 2, 0, size);
  if (own === size) return steps(apply(gruOp, [x, w, bias, h0], {}));
  // Numbers beside a state that begin as 0, with weights of 0, stay 0.
  const widen = (of: Tensor, shape: readonly number[], axes: readonly number[]) =>
    padTo(
      reshape(of, shape),
      shape.map((dim, axis) => (axes.includes(axis) ? own : dim)),
      shape.map(() => 0),
    );
  if (x.shape.length !== 3 || x.shape[2] !== 3 * size || w.shape[0] !== 3 * size || bias.size !== 3 * size) {
    throw new ShapeError(`gru: wants f32 [N, T, ${3 * size}], [${3 * size}, ${size}], got ${got([x, w, bias])}`);
  }
  const operands = [
    reshape(widen(x, [n, t, 3, size], [3]), [n, t, 3 * own]),
    reshape(widen(w, [3, size, size], [1, 2]), [3 * own, own]),
    reshape(widen(bias, [3, size], [1]), [3 * own]),
    widen(h0, [n, size], [1]),
  ];
  return steps(apply(gruOp, operands, {}));
}

function sample(n: number, t: number, size: number): Sample<object> {
  const small = { min: -2 / Math.sqrt(size), max: 2 / Math.sqrt(size) };
  const shapes = [[n, t, 3 * size], [3 * size, size], [3 * size], [n, size]];
  return { inputs: shapes.map((shape, i) => ({ shape, ...(i === 1 && small) })), attrs: {} };
}

function gradientSample(n: number, t: number, size: number): Sample<object> {
  const shapes = [
    [n, t, 3 * size],
    [n, t + 1, 3 * size],
    [n, t + 1, size],
    [n, t + 1, size],
    [3 * size, size],
  ];
  return { inputs: shapes.map((shape) => ({ shape, min: -1, max: 1 })), attrs: {} };
}

const gate = (v: number) => 1 / (1 + Math.exp(-v));

function reference([x, w, bias, h0]: readonly NdArray[]): Float64Array {
  const [n, t, wide] = x!.shape as [number, number, number];
  const size = wide / 3;
  const y = new Float64Array(n * (t + 1) * size);
  for (let b = 0; b < n; b++) {
    let h = h0!.data.slice(b * size, (b + 1) * size);
    y.set(h, b * (t + 1) * size);
    for (let step = 0; step < t; step++) {
      const own = x!.data.subarray((b * t + step) * wide, (b * t + step + 1) * wide);
      const a = Float64Array.from({ length: wide }, (_, row) => {
        let total = bias!.data[row]!;
        for (let k = 0; k < size; k++) total += w!.data[row * size + k]! * h[k]!;
        return total;
      });
      h = h.map((before, j) => {
        const [r, z] = [gate(own[j]! + a[j]!), gate(own[size + j]! + a[size + j]!)];
        return (1 - z) * Math.tanh(own[2 * size + j]! + r * a[2 * size + j]!) + z * before;
      });
      y.set(h, (b * (t + 1) + step + 1) * size);
    }
  }
  return y;
}

function gradientReference([x, a, y, g, w]: readonly NdArray[]): readonly Float64Array[] {
  const [n, t, wide] = x!.shape as [number, number, number];
  const size = wide / 3;
  const [dx, da] = [new Float64Array(n * t * wide), new Float64Array(n * (t + 1) * wide)];
  const dh0 = new Float64Array(n * size);
  for (let b = 0; b < n; b++) {
    const state = (step: number) => b * (t + 1) + step;
    let slope = g!.data.slice(state(t) * size, (state(t) + 1) * size);
    for (let step = t - 1; step >= 0; step--) {
      const [ofX, ofA] = [(b * t + step) * wide, state(step) * wide];
      const next = g!.data.slice(state(step) * size, (state(step) + 1) * size);
      for (let j = 0; j < size; j++) {
        const [r, z] = [0, 1].map((k) => gate(x!.data[ofX + k * size + j]! + a!.data[ofA + k * size + j]!)) as [
          number,
          number,
        ];
        const own = a!.data[ofA + 2 * size + j]!;
        const fresh = Math.tanh(x!.data[ofX + 2 * size + j]! + r * own);
        const ofZ = slope[j]! * (y!.data[state(step) * size + j]! - fresh) * z * (1 - z);
        const ofN = slope[j]! * (1 - z) * (1 - fresh ** 2);
        const ofR = ofN * own * r * (1 - r);
        [ofR, ofZ, ofN].forEach((value, k) => {
          dx[ofX + k * size + j] = value;
          da[ofA + k * size + j] = k === 2 ? value * r : value;
        });
        next[j]! += slope[j]! * z;
      }
      for (let k = 0; k < wide; k++) for (let j = 0; j < size; j++) next[j]! += da[ofA + k]! * w!.data[k * size + j]!;
      slope = next;
    }
    dh0.set(slope, b * size);
  }
  return [dx, da, dh0];
}
