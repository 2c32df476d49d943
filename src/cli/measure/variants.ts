// Every kernel variant on some forty shapes, each held against the others' results by the tuner; in f32, or in f16.
import { gradients } from '../../graph/autodiff.ts';
import { conv2d } from '../../ops/conv.ts';
import { mul } from '../../ops/elementwise.ts';
import { matmul } from '../../ops/matmul.ts';
import { logsumexp, sum } from '../../ops/reduce.ts';
import { input } from '../../ops/source.ts';
import type { Tensor } from '../../ops/tensor.ts';
import { type TuneResult, tune } from '../../runtime/tune.ts';
import { micro, type Phase } from './phase.ts';

type Work = readonly [name: string, result: () => Tensor];
type Form = 'nn' | 'nt' | 'tn';

function matmuls(m: number, k: number, n: number, type: 'f32' | 'f16', forms: readonly Form[]): Work[] {
  return forms.map((form) => {
    const [transposeA, transposeB] = [form[0] === 't', form[1] === 't'];
    return [
      `${m}×${k}×${n} ${form} ${type}`,
      () => {
        const a = input('a', transposeA ? [k, m] : [m, k], type);
        const b = input('b', transposeB ? [n, k] : [k, n], type);
        return matmul(a, b, { transposeA, transposeB });
      },
    ];
  });
}

const ALL: readonly Form[] = ['nn', 'nt', 'tn'];
const HALF = [4096, 2048, 1024].flatMap((size) => matmuls(size, size, size, 'f16', ['nn', 'nt']));

function convolutions(): Work[] {
  const [x, w, g] = [input('x', [64, 32, 14, 14]), input('w', [64, 32, 3, 3]), input('g', [64, 64, 7, 7])];
  const y = conv2d(x, w, { stride: 2, padding: 1 });
  const slope = (of: Tensor) => gradients(sum(mul(y, g)), [of])[0]!;
  return [
    [
      'convolution 128×32×14×14, 32 of 3×3',
      () => conv2d(input('x', [128, 32, 14, 14]), input('w', [32, 32, 3, 3]), { padding: 1 }),
    ],
    ['convolution 64×32×14×14, 64 of 3×3', () => y],
    ['its gradient of the images', () => slope(x)],
    ['its gradient of the weight', () => slope(w)],
  ];
}

const reductions: Work[] = [
  ['logsumexp 1024×1000', () => logsumexp(input('x', [1024, 1000]))],
  ['sum over rows 2048×2048', () => sum(input('x', [2048, 2048]), { axis: 1 })],
  ['sum over columns 2048×2048', () => sum(input('x', [2048, 2048]), { axis: 0 })],
  ['sum of all 2048×2048', () => sum(input('x', [2048, 2048]))],
  ['gradient of a bias 128×784', () => sum(input('x', [128, 784]), { axis: 0 })],
  ['sums of a norm 25088×32', () => sum(input('x', [25088, 32]), { axis: 0 })],
];

/** What models have comes first: of the largest squares the slowest variants take seconds, and time may run out. */
const single = (software: boolean): Work[] => [
  ...matmuls(128, 784, 400, 'f32', ALL),
  ...matmuls(128, 400, 40, 'f32', ['nt']),
  ...matmuls(784, 128, 400, 'f32', ['tn']),
  ...matmuls(400, 128, 784, 'f32', ['tn']),
  ...matmuls(128, 20, 400, 'f32', ['nt']),
  ...matmuls(128, 400, 20, 'f32', ['nn']),
  ...matmuls(512, 784, 400, 'f32', ['nt']),
  ...matmuls(1, 784, 400, 'f32', ['nt']),
  ...convolutions(),
  ...reductions,
  ...(software ? [] : matmuls(1024, 784, 4096, 'f32', ['nt'])),
  ...(software ? [256] : [256, 512, 1024, 2048, 4096]).flatMap((size) => matmuls(size, size, size, 'f32', ALL)),
];

const phase =
  (half: boolean): Phase =>
  async ({ gpu, say, keep }) => {
    // Nothing is remembered: a second run measures again.
    const store = { get: async () => undefined, set: async () => {} };
    for (const [name, result] of half ? HALF : single(gpu.adapter.software)) {
      const found: TuneResult[] = [];
      try {
        const onResult = (one: TuneResult) => {
          found.push(one);
          tell(name, one, say);
        };
        await tune(gpu, { outputs: { y: result() }, storage: half ? 'f16' : 'f32' }, { store, care: 0.5, onResult });
        keep(name, found);
      } catch (error) {
        keep(name, String(error));
        say(`${name}: ${String(error)}`);
      }
    }
  };

function tell(name: string, { rule, candidates }: TuneResult, say: (line: string) => void): void {
  const best = Math.min(...candidates.map(({ ms }) => ms ?? Infinity));
  for (const { name: variant, ms, gigaflops, problem } of candidates) {
    const speed = gigaflops ? `, ${(gigaflops / 1000).toFixed(2)} TFLOP/s` : '';
    const time = ms === undefined ? problem : `${micro(ms)}${speed}, ${(ms / best).toFixed(2)}×`;
    say(`${name.padEnd(34)} ${variant.padEnd(46)} ${time}${variant === rule ? ', the heuristic’s' : ''}`);
  }
}

export const variants = phase(false);
/** f16 tiles, and subgroup matrices where the adapter has them. */
export const half = phase(true);
