// Rotary positions: pairs of numbers are turned by an angle that grows with the position (Su and others, RoFormer, 2021).
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { add, cos, exp, mul, sin, toF32 } from './elementwise.ts';
import { iota } from './source.ts';
import { apply, type Sample, show, type Tensor } from './tensor.ts';
import { concat, reshape, slice } from './view.ts';

export interface RotaryAttrs {
  /** The slowest pair turns once in about 2π · base tokens. */
  readonly base: number;
  /** The position of the first row. */
  readonly offset: number;
}

export const rotaryOp = defineOp<RotaryAttrs>({
  name: 'rotary',
  infer([x]) {
    const { shape, dtype } = x!;
    if (dtype !== 'f32' || shape.length !== 4 || shape[3]! % 2 !== 0)
      throw new ShapeError(`wants f32 [N, T, heads, an even number], got ${dtype}${show(shape)}`);
    return { shape, dtype: 'f32' };
  },
  decompose([x], { base, offset }) {
    const [n, t, heads, size] = x!.shape as [number, number, number, number];
    const half = size / 2;
    const position = add(toF32(iota([t, 1], 0, 'u32')), offset);
    const speed = exp(mul(iota([1, half], 1), -Math.log(base) / half));
    const angle = reshape(mul(position, speed), [1, t, 1, half]);
    const [first, second] = [slice(x!, 3, 0, half), slice(x!, 3, half)];
    const [c, s] = [cos(angle), sin(angle)];
    const turned = [add(mul(first, c), mul(mul(second, s), -1)), add(mul(first, s), mul(second, c))];
    return reshape(concat(turned, 3), [n, t, heads, size]);
  },
  check: CHECKS && {
    // WGSL promises sine and cosine to 2⁻¹¹, absolute.
    tolerance: 2e-3,
    reference([x], { base, offset }) {
      const [, t, heads, size] = x!.shape as [number, number, number, number];
      const half = size / 2;
      return x!.data.map((value, at) => {
        const d = at % size;
        const position = (Math.floor(at / (heads * size)) % t) + offset;
        const angle = position * base ** (-(d % half) / half);
        const other = x!.data[d < half ? at + half : at - half]!;
        return value * Math.cos(angle) + (d < half ? -1 : 1) * other * Math.sin(angle);
      });
    },
    samples: [check([2, 5, 2, 8], 0), check([1, 3, 1, 6], 4)],
  },
});

function check(shape: readonly number[], offset: number): Sample<RotaryAttrs> {
  return { inputs: [{ shape }], attrs: { base: 10_000, offset } };
}

/**
 * Queries or keys [N, T, heads, D] turned by their positions, D even: number i goes with number i + D/2, by the angle
 * position · base^(−2i/D), as in LLaMA and GPT-NeoX. Scores then depend on the distance of two positions alone.
 *
 * @throws ShapeError if D is odd
 */
export function rotary(x: Tensor, { base = 10_000, offset = 0 }: Partial<RotaryAttrs> = {}): Tensor {
  return apply(rotaryOp, [x], { base, offset });
}
