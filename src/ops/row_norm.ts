// Layer norm and RMS norm of rows, each in one dispatch, and their gradients for the rows in another.
import norm_rows from '../../shaders/include/norm_rows.wgsl?raw';
import shader from '../../shaders/norm/rows.wgsl?raw';
import gradientShader from '../../shaders/norm/rows_gradient.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { include } from '../gpu/include.ts';
import { defineOp } from './define.ts';
import { add, mul, sub } from './elementwise.ts';
import { sum } from './reduce.ts';
import { constantOp } from './source.ts';
import { spreadWorkgroups } from './spread_workgroups.ts';
import { apply, applyAll, type NdArray, type Op, type Sample, show, type Tensor } from './tensor.ts';
import { broadcastToOp, reshape, slice } from './view.ts';

interface RowNormAttrs {
  readonly epsilon: number;
}

const AFTER = /^.*> bias: .*$/m;

function check([x, weight, ...rest]: readonly Tensor[], others: readonly (readonly number[])[]): void {
  const [rows, width] = x!.shape as [number, number];
  const wanted = [[width], ...others];
  const fits = [weight!, ...rest].every(
    ({ shape, dtype }, i) => dtype === 'f32' && String(shape) === String(wanted[i]),
  );
  if (x!.dtype !== 'f32' || x!.shape.length !== 2 || width % 4 !== 0 || !rows || !fits) {
    const got = [x!, weight!, ...rest].map(({ dtype, shape }) => `${dtype}${show(shape)}`).join(', ');
    throw new ShapeError(`wants f32 [rows, 4, 8, or …] and ${wanted.map(show).join(', ')}, got ${got}`);
  }
}

function define(name: string, centred: boolean): { forward: Op<RowNormAttrs>; gradient: Op<object> } {
  const constants = ({ inputs: [x] }: Tensor<object>) => ({
    ROWS: x!.shape[0]!,
    WIDTH: x!.shape[1]! / 4,
    CENTRED: centred,
  });
  const workgroups = ({ inputs: [x] }: Tensor<object>) => spreadWorkgroups(Math.ceil(x!.shape[0]! / 64));
  const whole = include(shader, { norm_rows });
  const gradient = defineOp({
    name: `${name}Gradient`,
    infer(inputs) {
      const { shape } = inputs[0]!;
      check(inputs, [[shape[0]!, 2], shape]);
      return { shape, dtype: 'f32' };
    },
    kernel: {
      ...{ name: 'one thread a row', wgsl: include(gradientShader, { norm_rows }), constants, workgroups },
      ...{ inputs: ['x', 'weight', 'stats', 'g'], outputs: ['dx'] },
    },
    check: CHECKS && {
      reference: gradientReference(centred),
      samples: [7, 3].map((rows, i) => gradientSample(rows, 4 + 8 * i)),
    },
  });
  const forward = defineOp<RowNormAttrs>({
    name,
    infer(inputs) {
      const { shape } = inputs[0]!;
      check(inputs, centred ? [[shape[1]!]] : []);
      return [
        { shape, dtype: 'f32' },
        { shape: [shape[0]!, 2], dtype: 'f32' },
      ];
    },
    kernel: {
      ...{ name: 'one thread a row', outputs: ['y', 'stats'], workgroups },
      // Without a shift there is none to bind, nor a place for it.
      wgsl: centred ? whole : whole.replace(AFTER, ''),
      inputs: centred ? ['x', 'weight', 'bias'] : ['x', 'weight'],
      constants: (node) => ({ ...constants(node as Tensor<object>), EPSILON: Math.fround(node.attrs.epsilon) }),
      flops: ({ inputs: [x] }) => 8 * x!.size,
    },
    grad(node, g, gStats) {
      const [x, weight] = node.inputs as [Tensor, Tensor];
      const [, stats] = node.all as readonly [Tensor, Tensor];
      const [mean, scale] = [slice(stats, 1, 0, 1), slice(stats, 1, 1)];
      const distance = centred ? sub(x, mean) : x;
      const normed = mul(distance, scale);
      const byResult = apply(gradient, [x, weight, stats, g!], {});
      const dx = isNothing(gStats!) ? byResult : add(byResult, ofStats(gStats!, distance, scale, centred));
      return [dx, sum(mul(g!, normed), { axis: 0 }), ...(centred ? [sum(g!, { axis: 0 })] : [])];
    },
    check: CHECKS && {
      reference: reference(centred),
      samples: [sample(5, 12, centred), sample(66, 4, centred)],
    },
  });
  return { forward, gradient };
}

/** A cotangent of what nothing depends on. */
const isNothing = ({ op, inputs: [x] }: Tensor) =>
  op === (broadcastToOp as Op) && x!.op === (constantOp as Op) && (x!.attrs as { value: number }).value === 0;

/** What the cotangents of mean and factor add to that of a row. */
function ofStats(g: Tensor, distance: Tensor, scale: Tensor, centred: boolean): Tensor {
  const width = distance.shape[1]!;
  const [ofMean, ofScale] = [slice(g, 1, 0, 1), slice(g, 1, 1)];
  const steep = mul(mul(mul(ofScale, mul(scale, mul(scale, scale))), distance), -1 / width);
  return centred ? add(steep, mul(ofMean, 1 / width)) : steep;
}

function sample(rows: number, width: number, centred: boolean): Sample<RowNormAttrs> {
  const shapes = [[rows, width], [width], ...(centred ? [[width]] : [])];
  return { inputs: shapes.map((shape) => ({ shape })), attrs: { epsilon: 0.1 } };
}

function gradientSample(rows: number, width: number): Sample<object> {
  return { inputs: [[rows, width], [width], [rows, 2], [rows, width]].map((shape) => ({ shape })), attrs: {} };
}

function reference(centred: boolean) {
  return ([x, weight, bias]: readonly NdArray[], { epsilon }: RowNormAttrs) => {
    const [rows, width] = x!.shape as [number, number];
    const y = new Float64Array(rows * width);
    const stats = new Float64Array(rows * 2);
    for (let row = 0; row < rows; row++) {
      const values = x!.data.subarray(row * width, (row + 1) * width);
      const mean = centred ? values.reduce((a, b) => a + b, 0) / width : 0;
      const scale = 1 / Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / width + epsilon);
      stats.set([mean, scale], 2 * row);
      values.forEach((value, i) => {
        y[row * width + i] = (value - mean) * scale * weight!.data[i]! + (bias?.data[i] ?? 0);
      });
    }
    return [y, stats];
  };
}

function gradientReference(centred: boolean) {
  return ([x, weight, stats, g]: readonly NdArray[]) => {
    const [rows, width] = x!.shape as [number, number];
    const dx = new Float64Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const [mean, scale] = [stats!.data[2 * row]!, stats!.data[2 * row + 1]!];
      const indices = Array.from({ length: width }, (_, i) => row * width + i);
      const h = indices.map((at, i) => g!.data[at]! * weight!.data[i]!);
      const n = indices.map((at) => (x!.data[at]! - mean) * scale);
      const level = centred ? h.reduce((a, b) => a + b, 0) / width : 0;
      const slope = h.reduce((a, b, i) => a + b * n[i]!, 0) / width;
      indices.forEach((at, i) => {
        dx[at] = scale * (h[i]! - level - n[i]! * slope);
      });
    }
    return dx;
  };
}

const layer = define('layerNorm', true);
const rms = define('rmsNorm', false);

export const layerNormOp = layer.forward;
export const layerNormGradientOp = layer.gradient;
export const rmsNormOp = rms.forward;
export const rmsNormGradientOp = rms.gradient;

/** Whether rows of a width are of whole vec4s, as the kernels want them. */
export const isWide = (width: number) => width > 0 && width % 4 === 0;

function byRows(op: Op<RowNormAttrs>, x: Tensor, others: readonly Tensor[], epsilon: number): Tensor {
  const width = x.shape.at(-1)!;
  const [y] = applyAll(op, [reshape(x, [x.size / width, width]), ...others], { epsilon });
  return reshape(y!, x.shape);
}

/** Layer norm over the last axis, of 4, 8 or … numbers. */
export const layerNormRows = (x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor =>
  byRows(layerNormOp, x, [weight, bias], epsilon);

/** RMS norm over the last axis, of 4, 8 or … numbers. */
export const rmsNormRows = (x: Tensor, weight: Tensor, epsilon: number): Tensor =>
  byRows(rmsNormOp, x, [weight], epsilon);
