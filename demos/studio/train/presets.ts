// Where to begin: runs that are worth a look, by what one will see.
import type { GivenOptions } from '../../../src/train/options.ts';

export interface Preset {
  readonly title: string;
  readonly text: string;
  readonly options: GivenOptions;
}

export const PRESETS: readonly Preset[] = [
  {
    title: 'Digits in a minute',
    text: 'A small VAE with a code of two numbers: blurred, quick, and its whole code space fits on one map.',
    options: { model: 'vae', latent: 2, epochs: 5, lr: 2e-3 },
  },
  {
    title: 'Sharper digits',
    text: 'The VAE of the textbooks, with twenty latent dimensions.',
    options: { model: 'vae', latent: 20, epochs: 10 },
  },
  {
    title: 'Sharper with convolutions',
    text: 'Strided convolutions with batch norm: fewer weights, finer strokes, slower steps.',
    options: { model: 'conv-vae', latent: 20, epochs: 5 },
  },
  {
    title: 'By class',
    text: 'A conditional VAE is told which digit it is, so that the code is left with the handwriting.',
    options: { model: 'cvae', latent: 10, epochs: 10 },
  },
  {
    title: 'One thing a dimension',
    text: 'A β-VAE pays more for each number of its code, and leaves most of them unused.',
    options: { model: 'beta-vae', latent: 10, beta: 4, epochs: 10 },
  },
  {
    title: 'A code book',
    text: 'A VQ-VAE writes an image as a grid of entries of a table, which you can edit.',
    options: { model: 'vq-vae', epochs: 5 },
  },
  {
    title: 'Text, letter by letter',
    text: 'A small transformer reads sentences letter by letter, and soon writes some of its own.',
    options: { model: 'gpt', layers: 2, heads: 2, width: 64, context: 32, steps: 1500 },
  },
  {
    title: 'Sentences as codes',
    text: 'A VAE of sentences: each becomes a code and is written from it again, and one walks from sentence to sentence.',
    options: { model: 'text-vae', steps: 1500 },
  },
  {
    title: 'Which digit is it?',
    text: 'A classifier: draw a digit, and see its probabilities as you draw.',
    options: { model: 'classifier', epochs: 3 },
  },
];
