// An op of one's own, with a kernel in WGSL: the running sum along each row, and its gradient, a running sum backwards.
import * as glia from 'glia';
import { checkOp } from 'glia/testing';
import wgsl from './cumsum.wgsl?raw';
import type { Stage } from './stage.ts';

const cumsumOp: glia.Op<{ reverse: boolean }> = glia.defineOp<{ reverse: boolean }>({
  name: 'cumsum',
  infer: ([x]) => ({ shape: x!.shape, dtype: 'f32' }),
  kernel: {
    wgsl,
    inputs: ['x'],
    outputs: ['y'],
    constants: ({ shape, attrs }) => ({ ROWS: shape[0]!, LENGTH: shape[1]!, REVERSE: attrs.reverse }),
    workgroups: ({ shape }) => Math.ceil(shape[0]! / 64),
  },
  grad: ({ attrs }, g) => [cumsum(g!, !attrs.reverse)],
  check: {
    reference([x], { reverse }) {
      const { data, shape } = x!;
      const sums = new Float64Array(data.length);
      for (let i = 0; i < data.length; i++) {
        const [row, k] = [Math.floor(i / shape[1]!), i % shape[1]!];
        for (let j = reverse ? k : 0; j <= (reverse ? shape[1]! - 1 : k); j++) sums[i]! += data[row * shape[1]! + j]!;
      }
      return sums;
    },
    samples: [true, false].map((reverse) => ({ inputs: [{ shape: [5, 13] }], attrs: { reverse } })),
  },
});
const cumsum = (x: glia.Tensor, reverse = false) => glia.apply(cumsumOp, [x], { reverse });

export async function run({ say, plot }: Stage) {
  using gpu = await glia.Gpu.request();
  await checkOp(gpu, cumsumOp); // against the reference, and its gradient against central differences

  // Which steps lead along a curve? Learned through the op's gradient.
  const curve = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i / 8) * (1 + i / 64));
  const steps = new glia.Variable('steps', [1, 64]);
  const reached = cumsum(steps.tensor);
  const loss = glia.mean(glia.square(glia.sub(reached, glia.input('curve', [1, 64]))));
  const [slope] = glia.gradients(loss, [steps.tensor]);
  const updates = [{ variable: steps, value: glia.sub(steps.tensor, glia.mul(slope!, 0.02)) }];
  using learning = await glia.compile(gpu, { outputs: { loss, reached }, updates });
  for (let step = 0; step < 3000; step += 100) learning.run({ curve }, { steps: 100 });
  const error = (await learning.read('loss'))[0]!;
  say(
    `The op agrees with its reference. Steps that lead along the curve: mean squared error ${error.toExponential(2)}`,
  );
  plot(
    curve.map((_, i) => i),
    { curve, reached: (await learning.read('reached')) as Float32Array },
  );
  return { error };
}
