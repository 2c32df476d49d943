// One op by itself: to compare its variants' results, and to time them.
import type { Gpu } from '../gpu/gpu.ts';
import type { ChooseVariant } from '../graph/variants.ts';
import { input } from '../ops/source.ts';
import { apply, type DType, type Op, type Shape, sizeOf, type Tensor, type Variant } from '../ops/tensor.ts';
import { build, plan } from './build.ts';
import type { RunInputs } from './dispatch.ts';
import type { Program } from './program.ts';
import type { HostArray } from './readback.ts';

/** An op applied to inputs of its own. */
export interface Probe {
  readonly result: Tensor;
  readonly data: RunInputs;
}

/** The sixteen multiples of 1/8 in [−1, 1), and their bits as f16. */
const EIGHTHS = Float32Array.from({ length: 16 }, (_, i) => i / 8 - 1);
const HALVES = Uint16Array.from(EIGHTHS, (x) => {
  if (x === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(x)));
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(x) / 2 ** exponent - 1) * 1024);
});

/**
 * Numbers that look random and are the same every time. Those of f32 and f16 are multiples of 1/8 in [−1, 1), so that sums of
 * products are exact in any order; integers are below 2.
 */
export function values(shape: Shape, dtype: DType, seed: number): HostArray {
  const length = sizeOf(shape);
  const at = (i: number) => {
    const mixed = Math.imul(i ^ Math.imul(seed + 1, 0x9e3779b1), 0x85ebca6b);
    return Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35) >>> 28;
  };
  if (dtype === 'f32') return Float32Array.from({ length }, (_, i) => EIGHTHS[at(i)]!);
  if (dtype === 'f16') return Uint16Array.from({ length }, (_, i) => HALVES[at(i)]!);
  const array = dtype === 'u8' ? new Uint8Array(length) : new Uint32Array(length);
  return array.map((_, i) => at(i) >>> 3);
}

export function probe(op: Op, shapes: readonly { shape: Shape; dtype?: DType }[], attrs: unknown): Probe {
  const inputs = shapes.map(({ shape, dtype }, i) => input(`x${i}`, shape, dtype));
  const data = Object.fromEntries(inputs.map(({ shape, dtype }, i) => [`x${i}`, values(shape, dtype, i)]));
  return { result: apply(op, inputs, attrs), data };
}

/** The op computed by one variant, wherever that is possible. */
export async function buildProbe(gpu: Gpu, { result }: Probe, variant: Variant): Promise<Program> {
  const description = { outputs: { y: result } };
  const only: ChooseVariant = (_, possible) => possible.find((one) => one === variant);
  return build(gpu, description, await plan(gpu, description, only));
}

/** Of the larger numbers, so much may come of rounding in another order; of smaller ones, which cancel, more. */
const ROUNDING = 1e-4;

/** Whether two results differ by no more than rounding in another order would make them. */
export function agree(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  // Terms that cancel are of the size of the others; the median, as one huge number must not excuse all.
  const sizes = Float64Array.from(b, Math.abs)
    .filter((size) => size > 0 && size < Infinity)
    .sort();
  const scale = sizes[sizes.length >> 1] ?? 0;
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    const same = x === y || (Number.isNaN(x) && Number.isNaN(y));
    if (!same && !(Math.abs(x - y) <= ROUNDING * (Math.abs(y) + scale))) return false;
  }
  return true;
}
