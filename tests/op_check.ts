// The generic check of an op: forward against its float64 reference, backward against central differences of that.
import { expect } from 'vitest';
import type { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { type ChooseVariant, possibleVariants } from '../src/graph/variants.ts';
import { add, mul } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import {
  apply,
  elementType,
  type NdArray,
  type Op,
  type Sample,
  type Tensor,
  type Variant,
} from '../src/ops/tensor.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { evaluate } from '../src/runtime/compile.ts';
import {
  bitsOfHalf,
  errorOf,
  type HostArray,
  halfOfBits,
  ndarray,
  randomFrom,
  randomValues,
  toHalf,
} from './numbers.ts';

const FORWARD = 2e-5;
/** Central differences of the float64 reference are good to 1e-8; the rest is f32. */
const BACKWARD = 1e-4;
const STEP = 1e-5;
/** Samples that a variant is tried on, others each time: every one is a shader to compile, for seconds on a CPU. */
export const TRIED = 4;
/** Elements of an input that are probed by central differences. */
const PROBES = 16;
/** The op's inputs are computed in the graph too: the op stands in its middle. */
const SCALE = 0.75;
const SHIFT = 0.03125;
/** The terms of a gradient are of about this size: cotangents are of [−1, 1]. */
const TERMS = 0.1;

interface Case {
  /** Its f32 inputs are stored as f16. */
  readonly half: boolean;
  readonly sample: Sample;
  readonly data: readonly HostArray[];
  readonly inputs: readonly Tensor[];
  /** What the op is applied to: for f32, an affine function of the input. */
  readonly operands: readonly Tensor[];
  readonly result: Tensor;
  readonly cotangent: HostArray;
  readonly cotangentInput: Tensor;
}

function prepare(op: Op, sample: Sample, index: number, random: () => number, half: boolean): Case {
  const data = sample.inputs.map((spec) => {
    const values = randomValues(spec, random);
    return half && values instanceof Float32Array ? values.map(toHalf) : values;
  });
  const inputs = sample.inputs.map(({ shape, dtype = 'f32' }, i) =>
    input(`x${index}_${i}`, shape, half && dtype === 'f32' ? 'f16' : dtype),
  );
  const operands = inputs.map((x) => (x.dtype === 'f32' ? add(mul(x, SCALE), SHIFT) : x));
  const result = apply(op, operands, sample.attrs);
  const spec = { shape: result.shape, min: -1, max: 1 };
  return {
    half,
    sample,
    data,
    inputs,
    operands,
    result,
    cotangent: randomValues(spec, random),
    cotangentInput: input(`g${index}`, result.shape),
  };
}

function operandValues({ sample, data, half }: Case): NdArray[] {
  return sample.inputs.map(({ shape, dtype = 'f32' }, i) =>
    ndarray(
      shape,
      dtype === 'f32' && !half
        ? Float64Array.from(data[i]!, (x) => Math.fround(Math.fround(x * SCALE) + SHIFT))
        : data[i]!,
    ),
  );
}

const nameOf = (input: Tensor) => (input.attrs as { name: string }).name;

const largest = (arrays: readonly NdArray[]) =>
  arrays.reduce((most, { data }) => data.reduce((before, x) => Math.max(before, Math.abs(x)), most), 0);

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((total, x, i) => total + x * b[i]!, 0);

/** ∂(g · op(x)) / ∂x at one element. */
function centralDifference(op: Op, of: Case, operand: number, at: number): number {
  const value = (delta: number) => {
    const operands = operandValues(of);
    operands[operand]!.data[at]! += delta;
    return dot(op.reference!(operands, of.sample.attrs, of.result.shape), of.cotangent);
  };
  return ((value(STEP) - value(-STEP)) / (2 * STEP)) * (of.half ? 1 : SCALE);
}

export interface CheckOptions {
  /** By this variant, forward alone, over those samples that it is possible for. */
  readonly variant?: Variant;
  /** With f32 inputs that are stored as f16. */
  readonly half?: boolean;
  /** Of the samples that are possible, only so many, drawn by the seed. */
  readonly most?: number;
}

/** Checks an op on a device over samples, with values that the seed gives. */
export async function checkOp(
  gpu: Gpu,
  op: Op,
  samples: readonly Sample[],
  seed: number,
  { variant, half = false, most = samples.length }: CheckOptions = {},
) {
  const random = randomFrom(seed);
  const possible = ({ result }: Case) => !variant || possibleVariants(result, traitsOf(gpu)).includes(variant);
  const cases = samples.map((sample, index) => prepare(op, sample, index, random, half)).filter(possible);
  while (cases.length > most) cases.splice(Math.floor(random() * cases.length), 1);
  if (cases.some(({ result }) => result.dtype === 'f16') && !gpu.has('shader-f16'))
    return console.warn(`NOT TESTED: ${op.name} gives f16, which ${gpu.name} has not`);
  if (variant && cases.length === 0)
    return console.warn(`${op.name} by ${variant.name} is not possible on ${gpu.name}`);
  const outputs: Record<string, Tensor> = {};
  const given: Record<string, HostArray> = {};
  // The gradients of a product are products again: a variant proves itself forward, over samples of every form.
  const differentiable = (of: Case) =>
    !variant && of.result.dtype === 'f32' && (op.grad ?? op.decompose) && of.result.size > 0;
  for (const [index, of] of cases.entries()) {
    for (const [i, x] of of.inputs.entries())
      given[nameOf(x)] = x.dtype === 'f16' ? Uint16Array.from(of.data[i]!, bitsOfHalf) : of.data[i]!;
    outputs[`y${index}`] = of.result;
    if (!differentiable(of)) continue;
    given[nameOf(of.cotangentInput)] = of.cotangent;
    const loss = sum(mul(of.result, of.cotangentInput));
    const targets = of.inputs.filter(({ dtype }) => elementType(dtype) === 'f32');
    for (const [i, g] of gradients(loss, targets).entries()) outputs[`d${index}_${of.inputs.indexOf(targets[i]!)}`] = g;
  }
  const chooseVariant: ChooseVariant = (_, among) => among.find((one) => one === variant);
  const values = await evaluate(gpu, outputs, given, { chooseVariant });
  for (const [index, of] of cases.entries()) {
    const what = `${op.name}${variant ? ` by ${variant.name}` : ''} ${JSON.stringify(of.sample)} with seed ${seed}`;
    const expected = op.reference!(operandValues(of), of.sample.attrs, of.result.shape);
    const got = values[`y${index}`]!;
    const numbers = of.result.dtype === 'f16' ? Float64Array.from(got, halfOfBits) : got;
    // Pointwise ops round their result; the others add terms up, which may cancel.
    const terms = op.emit
      ? 0
      : largest(operandValues(of).filter((_, i) => elementType(of.operands[i]!.dtype) === 'f32'));
    expect(errorOf(numbers, expected, terms), `forward of ${what}`).toBeLessThan(op.tolerance ?? FORWARD);
    if (!differentiable(of)) continue;
    of.inputs.forEach((x, i) => {
      const gradient = values[`d${index}_${i}`];
      if (!gradient || x.size === 0) return;
      const probes = Array.from({ length: Math.min(PROBES, x.size) }, () => Math.floor(random() * x.size));
      const actual = probes.map((at) => gradient[at]!);
      const differences = probes.map((at) => centralDifference(op, of, i, at));
      expect(errorOf(actual, differences, TERMS), `gradient ${i} of ${what}`).toBeLessThan(
        Math.max(BACKWARD, op.tolerance ?? 0),
      );
    });
  }
}

export const freshSeed = () => 1 + Math.floor(Math.random() * 2 ** 31);
