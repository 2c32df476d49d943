// One op by itself: to compare its variants' results, and to time them.
import type { Gpu } from '../gpu/gpu.ts';
import type { ChooseVariant } from '../graph/variants.ts';
import { input } from '../ops/source.ts';
import { apply, type DType, type Op, type Shape, sizeOf, type Tensor, type Variant } from '../ops/tensor.ts';
import { build, plan } from './build.ts';
import type { RunInputs } from './dispatch.ts';
import type { Program } from './program.ts';

/** An op applied to inputs of its own. */
export interface Probe {
  readonly result: Tensor;
  readonly data: RunInputs;
}

/** Numbers that look random and are the same every time: in [−1, 1) for f32, below 2 for integers. */
function values(shape: Shape, dtype: DType): Float32Array | Uint32Array | Uint8Array | Uint16Array {
  const length = sizeOf(shape);
  const at = (i: number) => (((i * 2654435761) >>> 8) & 0xffff) / 0x8000 - 1;
  if (dtype === 'f32') return Float32Array.from({ length }, (_, i) => at(i));
  // As bits of f16: −1, −½, ½ or 1.
  if (dtype === 'f16')
    return Uint16Array.from({ length }, (_, i) => [0xbc00, 0xb800, 0x3800, 0x3c00][Math.floor(2 * at(i) + 2)]!);
  const array = dtype === 'u8' ? new Uint8Array(length) : new Uint32Array(length);
  return array.map((_, i) => (at(i) < 0 ? 0 : 1));
}

export function probe(op: Op, shapes: readonly { shape: Shape; dtype?: DType }[], attrs: unknown): Probe {
  const inputs = shapes.map(({ shape, dtype }, i) => input(`x${i}`, shape, dtype));
  const data = Object.fromEntries(inputs.map(({ shape, dtype }, i) => [`x${i}`, values(shape, dtype)]));
  return { result: apply(op, inputs, attrs), data };
}

/** The op computed by one variant, wherever that is possible. */
export async function buildProbe(gpu: Gpu, { result }: Probe, variant: Variant): Promise<Program> {
  const description = { outputs: { y: result } };
  const only: ChooseVariant = (_, possible) => possible.find((one) => one === variant);
  return build(gpu, description, await plan(gpu, description, only));
}

/** Whether two results differ by no more than rounding in another order would make them. */
export function agree(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  let scale = 0;
  for (let i = 0; i < b.length; i++) scale = Math.max(scale, Math.abs(b[i]!));
  for (let i = 0; i < b.length; i++) if (!(Math.abs(a[i]! - b[i]!) <= 1e-4 * scale)) return false;
  return a.length === b.length;
}
