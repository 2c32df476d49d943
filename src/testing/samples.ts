// What an op is tried on: its own samples and reference, or those that follow from a pointwise op's expression.
import {
  type Check,
  type NdArray,
  type Op,
  type Pointwise,
  type RandomInt,
  type Sample,
  type Shape,
  sizeOf,
  stridesOf,
} from '../ops/tensor.ts';

const SHAPES: readonly (readonly Shape[])[] = [
  [
    [3, 8],
    [3, 8],
    [3, 8],
  ],
  [[5, 7], [7], [5, 1]],
  [[4, 1], [1, 12], []],
  [[1], [3, 1, 5], [3, 4, 1]],
  [[], [], []],
  [[0, 3], [3], [1]],
];

/** What an op is checked by. */
export function checkOf(op: Op): Check {
  return op.check || (op.pointwise ? ofPointwise(op.pointwise) : {});
}

function ofPointwise({ wgsl, reference, dtypes, range, tolerance }: Pointwise): Check {
  const arity = wgsl.length;
  const input = (shape: Shape, i: number) => {
    const own = range && typeof range[0] !== 'number' ? range[i] : range;
    const [min, max] = (own ?? [-2, 2]) as readonly [number, number];
    return { shape, min, max, dtype: dtypes?.[i] ?? 'f32' } as const;
  };
  return {
    ...(reference && { reference: referenceOf(reference) }),
    ...(tolerance && { tolerance }),
    samples: SHAPES.map(
      (shapes): Sample => ({
        inputs: Array.from({ length: arity }, (_, i) => input(shapes[i] ?? shapes[0]!, i)),
        attrs: {},
      }),
    ),
    random(int: RandomInt) {
      const shape = Array.from({ length: int(1, 3) }, () => int(1, 9));
      const broadcast = () => shape.slice(int(0, shape.length)).map((dim) => (int(0, 3) === 0 ? 1 : dim));
      return { inputs: Array.from({ length: arity }, (_, i) => input(i === 0 ? shape : broadcast(), i)), attrs: {} };
    },
  };
}

/** A function of numbers as one of arrays that broadcast. */
function referenceOf(of: (...args: number[]) => number) {
  return (inputs: readonly NdArray[], _attrs: unknown, shape: Shape): Float64Array => {
    const out = new Float64Array(sizeOf(shape));
    const strides = stridesOf(shape);
    const inner = inputs.map((input) => stridesOf(input.shape));
    const args = new Array<number>(inputs.length);
    for (let flat = 0; flat < out.length; flat++) {
      for (let i = 0; i < inputs.length; i++) {
        const input = inputs[i]!;
        let at = 0;
        for (let axis = 0; axis < input.shape.length; axis++) {
          const outer = axis + shape.length - input.shape.length;
          if (input.shape[axis] !== 1) at += (Math.floor(flat / strides[outer]!) % shape[outer]!) * inner[i]![axis]!;
        }
        args[i] = input.data[at]!;
      }
      out[flat] = of(...args);
    }
    return out;
  };
}
