// What `npm run tune` does where the device is, in its page or in Node: tunes the training step of a model on the
// built-in data, and checks what the tuner picks.
import { strokeDigits } from '../../data/digits.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { gradients } from '../../graph/autodiff.ts';
import { conv2d } from '../../ops/conv.ts';
import { mul } from '../../ops/elementwise.ts';
import { matmul } from '../../ops/matmul.ts';
import { logsumexp, sum } from '../../ops/reduce.ts';
import { input } from '../../ops/source.ts';
import type { Tensor } from '../../ops/tensor.ts';
import { type TuneOptions, type TuneResult, tune, tuneKey } from '../../runtime/tune.ts';
import { builtInText, isOfText } from '../../train/built_in.ts';
import { trainByName } from '../../train/named.ts';
import { completeOptions, type TrainOptions } from '../../train/options.ts';

/** What the tuner picked for one op of a workload, and what all the variants took when measured once more. */
export interface Checked {
  readonly workload: string;
  readonly pick: string;
  /** Milliseconds of the pick and of the best, in the second measurement. */
  readonly pickMs: number;
  readonly bestMs: number;
  readonly second: TuneResult;
}

/** Tunes a model's step, and returns what winners are remembered under. */
export async function tuneModel(gpu: Gpu, given: Partial<TrainOptions>, tuning: TuneOptions): Promise<string> {
  const options = completeOptions(given);
  const data = isOfText(options)
    ? await builtInText(options)
    : strokeDigits({ train: Math.max(1000, options.batch), test: 100 });
  // (Node 20 knows no `using`.)
  (await trainByName(gpu, data, options, { compile: { tune: tuning } })).destroy();
  return tuneKey(gpu);
}

/** A variant that is up to so much slower than the best is as good as the best: noise is no less. */
export const TOLERANCE = 1.1;
/** The second measurement takes so many times as many rounds. */
const CARE = 2;

const FORMS = { nn: {}, nt: { transposeB: true }, tn: { transposeA: true } };

function products(m: number, k: number, n: number): [string, () => Tensor][] {
  return Object.entries(FORMS).map(([form, options]) => {
    const { transposeA = false, transposeB = false } = options as { transposeA?: boolean; transposeB?: boolean };
    const [a, b] = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]];
    return [`product ${m}×${k}×${n} ${form}`, () => matmul(input('a', a), input('b', b), { transposeA, transposeB })];
  });
}

/** The convolution of the bench, and both gradients. */
function convolutions(): [string, () => Tensor][] {
  const [x, w, g] = [input('x', [64, 32, 14, 14]), input('w', [64, 32, 3, 3]), input('g', [64, 64, 7, 7])];
  const y = conv2d(x, w, { stride: 2, padding: 1 });
  const of = (wanted: Tensor) => () => gradients(sum(mul(y, g)), [wanted])[0]!;
  return [
    ['convolution 32×14²→64×7²', () => y],
    ['its gradient of images', of(x)],
    ['its gradient of the weight', of(w)],
  ];
}

/** The bench's ops; its training step is a model's. */
const WORKLOADS: readonly [string, () => Tensor][] = [
  ...[256, 512, 1024].flatMap((size) => products(size, size, size)),
  ...products(128, 784, 400),
  ...convolutions(),
  ['logsumexp, as in softmax 1024×1000', () => logsumexp(input('x', [1024, 1000]))],
  ['sum over rows, 2048×2048', () => sum(input('x', [2048, 2048]), { axis: 1 })],
  ['sum over columns, 2048×2048', () => sum(input('x', [2048, 2048]), { axis: 0 })],
  ['sum of all, 2048×2048', () => sum(input('x', [2048, 2048]))],
];

/** Tunes each workload, measures all again, with more rounds, and tells how near the pick comes to the best of these. */
export async function checkTuner(
  gpu: Gpu,
  given: Partial<TrainOptions>,
  tell: (checked: Checked) => unknown,
): Promise<void> {
  const nowhere = { get: async () => undefined, set: async () => {} };
  const both = async (workload: string, work: (tuning: TuneOptions) => Promise<unknown>) => {
    const measured = async (care: number) => {
      const results: TuneResult[] = [];
      await work({ store: nowhere, care, onResult: (result) => results.push(result) });
      return results;
    };
    const picks = await measured(1);
    const truth = await measured(CARE);
    for (const { signature, winner: pick } of picks) {
      const second = truth.find((result) => result.signature === signature)!;
      const msOf = (name: string) => second.candidates.find((candidate) => candidate.name === name)?.ms ?? Infinity;
      await tell({ workload, pick, pickMs: msOf(pick), bestMs: msOf(second.winner), second });
    }
  };
  for (const [name, build] of WORKLOADS) await both(name, (tuning) => tune(gpu, { outputs: { y: build() } }, tuning));
  const model = completeOptions(given);
  await both(`step of ${model.model}, batch ${model.batch}`, (tuning) => tuneModel(gpu, given, tuning));
}
