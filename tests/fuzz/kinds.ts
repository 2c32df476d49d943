// The kinds of random graphs.
import type { Kind } from './builder.ts';
import type { StepName } from './random_steps.ts';

const pointwise: StepName[] = [
  'unary',
  'unary',
  'unary',
  'binary',
  'binary',
  'binary',
  'number',
  'compareWhole',
  'wholeToFloat',
];
const views: StepName[] = ['reshape', 'transpose', 'transpose', 'broadcast', 'slice', 'slice', 'pad', 'concat', 'pack'];
const heavy: StepName[] = [
  'reduce',
  'reduce',
  'reduce',
  'moments',
  'matmul',
  'matmul',
  'argmax',
  'softmax',
  'crossEntropy',
  'normalize',
  'scatterAdd',
];
const images: StepName[] = ['patches', 'conv', 'pool'];
const text: StepName[] = ['rowNorm', 'attention', 'gru', 'rotary', 'embedding', 'likelihood', 'toU32'];
const indices: StepName[] = [
  'whole',
  'whole',
  'iota',
  'gather',
  'oneHot',
  'permutation',
  'wholeToFloat',
  'compareWhole',
];

export const KINDS: Readonly<Record<'general' | 'updates' | 'indices' | 'images' | 'half' | 'text', Kind>> = {
  general: {
    name: 'general',
    steps: [...pointwise, ...views, ...heavy, ...images, ...indices, 'random', 'gradient', 'gradient'],
    variables: 2,
  },
  updates: { name: 'updates', steps: [...pointwise, ...views, ...heavy, 'gradient', 'whole'], variables: 8, most: 300 },
  indices: {
    name: 'indices',
    steps: [...indices, ...indices, ...views, ...views, 'patches', 'unary', 'reduce'],
    variables: 1,
    most: 600,
  },
  images: {
    name: 'images',
    steps: [...images, ...images, 'gradient', 'unary', 'binary', 'transpose', 'reduce', 'normalize'],
    variables: 1,
  },
  text: {
    name: 'text',
    steps: [...text, ...text, 'matmul', 'softmax', 'unary', 'binary', 'whole', 'slice', 'transpose', 'gradient'],
    variables: 3,
    most: 600,
  },
  half: {
    name: 'half',
    steps: ['half', 'half', 'matmul', 'matmul', ...pointwise, ...views, ...heavy],
    variables: 4,
    half: true,
  },
};
