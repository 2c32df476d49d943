// The check of an op: forward against its float64 reference, backward against central differences of that.
import { GliaError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { gradients } from '../graph/autodiff.ts';
import { topological } from '../graph/graph.ts';
import { type ChooseVariant, possibleVariants } from '../graph/variants.ts';
import { add, mul } from '../ops/elementwise.ts';
import { sum } from '../ops/reduce.ts';
import { input, inputOp } from '../ops/source.ts';
import {
  applyAll,
  elementType,
  type NdArray,
  type Op,
  type Sample,
  sizeOf,
  type Tensor,
  typeOf,
  type Variant,
} from '../ops/tensor.ts';
import { build, plan, traitsOf } from '../runtime/build.ts';
import { compile } from '../runtime/compile.ts';
import { loadAllKernels } from '../runtime/kit.ts';
import {
  bitsOfHalf,
  type HostArray,
  halfOfBits,
  ndarray,
  randomFrom,
  randomValues,
  toHalf,
  worstOf,
} from './numbers.ts';
import { checkOf } from './samples.ts';

const FORWARD = 2e-5;
/** Central differences of the float64 reference are good to 1e-8; the rest is f32. */
const BACKWARD = 1e-4;
const STEP = 1e-5;
/** Random samples by default, for an op that makes them. */
const RANDOM = 5;
/** Elements of an input that are probed by central differences. */
const PROBES = 16;
/** The op's inputs are computed in the graph too: the op stands in its middle. */
const SCALE = 0.75;
const SHIFT = 0.03125;
/** The terms of a gradient are of about this size: cotangents are of [−1, 1]. */
const TERMS = 0.1;

/** An op computes something else than its reference, or has a gradient that is not the slope. */
export class CheckError extends GliaError {
  override name = 'CheckError';
}

export interface CheckOptions {
  /** By this variant, forward alone, over those samples that it is possible for. */
  readonly variant?: Variant;
  /** With f32 inputs that are stored as f16. */
  readonly half?: boolean;
  /** Of the samples that are possible, only so many, drawn by the seed. */
  readonly most?: number;
  /** What values are drawn from; another one each time by default. */
  readonly seed?: number;
}

/** What a check that passed has seen. */
export interface CheckReport {
  readonly samples: number;
  /** Elements of results that were compared, and gradients of elements of inputs. */
  readonly elements: number;
  readonly gradients: number;
  /** The largest relative errors. */
  readonly worst: { readonly forward: number; readonly gradient: number };
  readonly seed: number;
  /** Why nothing could be compared on this device. */
  readonly skipped?: string;
}

interface Case {
  /** Its f32 inputs are stored as f16. */
  readonly half: boolean;
  readonly sample: Sample;
  readonly data: readonly HostArray[];
  readonly inputs: readonly Tensor[];
  /** What the op is applied to: for f32, an affine function of the input. */
  readonly operands: readonly Tensor[];
  readonly results: readonly Tensor[];
  /** Of each result, as many numbers. */
  readonly cotangents: readonly HostArray[];
  readonly cotangentInputs: readonly Tensor[];
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
  const results = applyAll(op, operands, sample.attrs);
  return {
    half,
    sample,
    data,
    inputs,
    operands,
    results,
    cotangents: results.map(({ shape }) => randomValues({ shape, min: -1, max: 1 }, random)),
    cotangentInputs: results.map(({ shape }, r) => input(`g${index}_${r}`, shape)),
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

/** The reference's results, each as long as it must be. */
function expectedOf(op: Op, { sample, results }: Case, operands: readonly NdArray[]): readonly Float64Array[] {
  const made = checkOf(op).reference!(operands, sample.attrs, results[0]!.shape);
  const list = made instanceof Float64Array ? [made] : made;
  const lengths = list.map(({ length }) => length).join(', ');
  const wanted = results.map(({ size }) => size).join(', ');
  if (lengths !== wanted) {
    throw new CheckError(
      list.length === results.length
        ? `${op.name}, sample ${JSON.stringify(sample)}: its reference gives ${lengths} numbers, and its infer says ${results.map(typeOf).join(', ')}: ${wanted}`
        : `${op.name}: its reference gives ${list.length} results, and its infer ${results.length}`,
    );
  }
  return list;
}

/** What results were taken for, if their bits are right as the other type: `infer` says one, and the kernel stores the other. */
function misread(y: Tensor, got: HostArray, expected: Float64Array, terms: number, allowed: number): string {
  const other = y.dtype === 'f32' ? 'u32' : y.dtype === 'u32' ? 'f32' : undefined;
  if (!other || got.byteLength !== 4 * y.size) return '';
  const bits =
    other === 'u32'
      ? new Uint32Array(got.buffer, got.byteOffset, y.size)
      : new Float32Array(got.buffer, got.byteOffset, y.size);
  if (expected.every((value) => value === 0) || worstOf(bits, expected, terms).error >= allowed) return '';
  return `; its infer says ${typeOf(y)}, and what its kernel stores is right as ${other}`;
}

const nameOf = (input: Tensor) => (input.attrs as { name: string }).name;

const largest = (arrays: readonly NdArray[]) =>
  arrays.reduce((most, { data }) => data.reduce((before, x) => Math.max(before, Math.abs(x)), most), 0);

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((total, x, i) => total + x * b[i]!, 0);

const isReal = ({ dtype }: Tensor) => elementType(dtype) === 'f32';

/** ∂(g · op(x)) / ∂x at one element. */
function centralDifference(op: Op, of: Case, operand: number, at: number): number {
  const value = (delta: number) => {
    const operands = operandValues(of);
    operands[operand]!.data[at]! += delta;
    const results = expectedOf(op, of, operands);
    return results.reduce((sum, y, r) => (isReal(of.results[r]!) ? sum + dot(y, of.cotangents[r]!) : sum), 0);
  };
  return ((value(STEP) - value(-STEP)) / (2 * STEP)) * (of.half ? 1 : SCALE);
}

/** The samples of an op, and some of random shapes. */
export function samplesOf(op: Op, seed: number): readonly Sample[] {
  const { samples = [], random } = checkOf(op);
  const draw = randomFrom(seed);
  const int = (min: number, max: number) => min + Math.floor(draw() * (max - min + 1));
  return [...samples, ...(random ? Array.from({ length: RANDOM }, () => random(int)) : [])];
}

/**
 * Checks an op on a device: what it computes against its float64 reference, and its gradient against central differences of
 * that, with the op in the middle of a graph and a random cotangent.
 *
 * @param samples inputs and attributes to try; by default the op's own and some of random shapes
 * @throws CheckError that says which sample and which element is wrong, what was expected and what came out
 */
export async function checkOp<A>(
  gpu: Gpu,
  checked: Op<A>,
  samples?: readonly Sample<A>[],
  { variant, half = false, most = Infinity, seed = freshSeed() }: CheckOptions = {},
): Promise<CheckReport> {
  const op = checked as Op;
  const { reference, tolerance } = checkOf(op);
  if (!reference)
    throw new CheckError(`${op.name} has no reference to be held against: give it check: { reference, samples }`);
  const tried = (samples as readonly Sample[] | undefined) ?? samplesOf(op, seed);
  if (tried.length === 0) throw new CheckError(`${op.name} has no samples to be tried on`);
  if (variant) await loadAllKernels(gpu);
  const random = randomFrom(seed);
  const possible = ({ results: [y] }: Case) =>
    !variant || possibleVariants(y!.op === op ? y! : y!.inputs[0]!, traitsOf(gpu)).includes(variant);
  const cases = tried.map((sample, index) => prepare(op, sample, index, random, half)).filter(possible);
  while (cases.length > most) cases.splice(Math.floor(random() * cases.length), 1);
  const report = { samples: 0, elements: 0, gradients: 0, worst: { forward: 0, gradient: 0 }, seed };
  if (cases.some(({ results }) => results.some(({ dtype }) => dtype === 'f16')) && !gpu.has('shader-f16'))
    return { ...report, skipped: `${op.name} gives f16, which ${gpu.name} has not` };
  if (cases.length === 0)
    return { ...report, skipped: `${op.name} by ${variant?.name} is not possible on ${gpu.name}` };
  // An infer that is wrong is told as such, before gradients of what it says.
  const references = cases.map((of) => expectedOf(op, of, operandValues(of)));
  const outputs: Record<string, Tensor> = {};
  const given: Record<string, HostArray> = {};
  // The gradients of a matmul are matmuls again: a variant proves itself forward, over samples of every form.
  const differentiable = ({ results }: Case) =>
    !variant && (op.grad ?? op.decompose) && results.some((y) => y.dtype === 'f32' && y.size > 0);
  for (const [index, of] of cases.entries()) {
    for (const [i, x] of of.inputs.entries())
      given[nameOf(x)] = x.dtype === 'f16' ? Uint16Array.from(of.data[i]!, bitsOfHalf) : of.data[i]!;
    of.results.forEach((y, r) => {
      outputs[`y${index}_${r}`] = y;
    });
    if (!differentiable(of)) continue;
    const terms = of.results.flatMap((y, r) => {
      if (!isReal(y)) return [];
      given[nameOf(of.cotangentInputs[r]!)] = of.cotangents[r]!;
      return [sum(mul(y, of.cotangentInputs[r]!))];
    });
    const targets = of.inputs.filter(isReal);
    for (const [i, g] of gradients(terms.reduce(add), targets).entries())
      outputs[`d${index}_${of.inputs.indexOf(targets[i]!)}`] = g;
  }
  const chooseVariant: ChooseVariant = (_, among) => among.find((one) => one === variant);
  // A rule may leave a cotangent out.
  const read = new Set(
    topological(Object.values(outputs)).flatMap((node) => (node.op === inputOp ? [nameOf(node)] : [])),
  );
  const used = Object.fromEntries(Object.entries(given).filter(([name]) => read.has(name)));
  // By compile, an unverified variant that is wrong would give way.
  const program = variant
    ? await build(gpu, { outputs }, await plan(gpu, { outputs }, chooseVariant))
    : await compile(gpu, { outputs });
  const values: Record<string, HostArray> = {};
  try {
    program.run(used);
    for (const name of Object.keys(outputs)) values[name] = await program.read(name);
  } finally {
    program.destroy();
  }
  for (const [index, of] of cases.entries()) {
    const what = `${op.name}${variant ? ` by ${variant.name}` : ''}, sample ${JSON.stringify(of.sample)}, seed ${seed}`;
    const operands = operandValues(of);
    // Pointwise ops round their result; the others add terms up, which may cancel.
    const terms = op.emit ? 0 : largest(operands.filter((_, i) => isReal(of.operands[i]!)));
    report.samples++;
    for (const [r, expected] of references[index]!.entries()) {
      const y = of.results[r]!;
      const got = values[`y${index}_${r}`]!;
      const numbers = y.dtype === 'f16' ? Float64Array.from(got, halfOfBits) : got;
      const of_ = of.results.length > 1 ? ` of result ${r}` : '';
      const allowed = tolerance ?? FORWARD;
      const why = () => misread(y, got, expected, terms, allowed);
      const error = hold('element', of_, what, y.shape, numbers, expected, terms, allowed, { why });
      report.worst.forward = Math.max(report.worst.forward, error);
      report.elements += y.size;
    }
    if (!differentiable(of)) continue;
    of.inputs.forEach((x, i) => {
      const gradient = values[`d${index}_${i}`];
      if (!gradient || x.size === 0) return;
      const probes = Array.from({ length: Math.min(PROBES, x.size) }, () => Math.floor(random() * x.size));
      const actual = probes.map((at) => gradient[at]!);
      const differences = probes.map((at) => centralDifference(op, of, i, at));
      const allowed = Math.max(BACKWARD, tolerance ?? 0);
      const error = hold('gradient', ` of input ${i}`, what, x.shape, actual, differences, TERMS, allowed, {
        indices: probes,
      });
      report.worst.gradient = Math.max(report.worst.gradient, error);
      report.gradients += probes.length;
    });
  }
  return report;
}

/** The largest relative error, which must be below what is allowed. */
function hold(
  kind: string,
  of: string,
  what: string,
  shape: readonly number[],
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  terms: number,
  allowed: number,
  { indices, why }: { readonly indices?: readonly number[]; readonly why?: () => string } = {},
): number {
  const { error, at } = worstOf(actual, expected, terms);
  if (error < allowed) return error;
  const flat = indices?.[at] ?? at;
  const coords = shape.map((dim, axis) => Math.floor(flat / sizeOf(shape.slice(axis + 1))) % dim);
  const [wanted, got] = [expected[at], actual[at]].map((x) => (x === undefined ? 'nothing' : x.toPrecision(7)));
  throw new CheckError(
    `${what}: ${kind} [${coords}]${of} is ${got}, expected ${wanted}: a relative error of ${error.toPrecision(2)}, allowed is ${allowed}${why?.() ?? ''}`,
  );
}

/** A seed that is another one each time. */
export const freshSeed = () => 1 + Math.floor(Math.random() * 2 ** 31);
