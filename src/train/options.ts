// The options of a training run, once: the command line, its help, the page's form and checkpoints read this table.
import { OptionError } from '../errors.ts';

const MODEL_NAMES = ['vae', 'conv-vae', 'beta-vae', 'iwae', 'cvae', 'vq-vae', 'classifier', 'conv-classifier'] as const;

export type ModelName = (typeof MODEL_NAMES)[number];

export interface TrainOptions {
  readonly model: ModelName;
  readonly epochs: number;
  /** Stop after so many steps, if that comes before the last epoch's end. */
  readonly steps: number | undefined;
  readonly batch: number;
  readonly lr: number | undefined;
  readonly decay: number | undefined;
  readonly hidden: number;
  readonly latent: number;
  readonly beta: number | undefined;
  readonly warmup: number | undefined;
  readonly particles: number | undefined;
  readonly codes: number;
  readonly likelihood: 'bernoulli' | 'gaussian';
  readonly seed: number;
  readonly size: number | undefined;
  readonly colors: 'grey' | 'rgb' | undefined;
  readonly budget: number | undefined;
}

export interface OptionRule {
  readonly help: string;
  readonly default: string | number | undefined;
  /** Given for numbers. */
  readonly range?: { readonly min: number; readonly max: number; readonly integer: boolean };
  readonly choices?: readonly string[];
  /** Whether a resumed run may have another value: the result up to here does not depend on it. */
  readonly free?: boolean;
}

const count = (max: number) => ({ min: 1, max, integer: true });
const real = (min: number, max: number) => ({ min, max, integer: false });

export const OPTIONS: { readonly [name in keyof TrainOptions]: OptionRule } = {
  model: { help: 'what to train', default: 'vae', choices: MODEL_NAMES },
  epochs: { help: 'passes over the training data', default: 10, range: count(1e6), free: true },
  steps: {
    help: 'stop after this many steps, for a quick look',
    default: undefined,
    range: count(2 ** 31),
    free: true,
  },
  batch: { help: 'images a step', default: 128, range: count(65536) },
  lr: {
    help: 'learning rate of Adam: 0.001, or 0.003 for conv-classifier, unless told',
    default: undefined,
    range: real(0, 1e3),
  },
  decay: {
    help: 'steps after which it is half that, as 1 / (1 + step / n): constant, or 200 for conv-classifier, unless told',
    default: undefined,
    range: real(1, 1e9),
  },
  hidden: { help: 'width of the hidden layers', default: 400, range: count(65536) },
  latent: { help: 'size of the code z', default: 20, range: count(65536) },
  beta: {
    help: 'weight of the KL term: 1, or 4 for beta-vae, unless told; of the commitment, 0.25, for vq-vae',
    default: undefined,
    range: real(0, 1e6),
  },
  warmup: {
    help: 'steps in which that weight rises from 0: none, or 500 for beta-vae, unless told',
    default: undefined,
    range: { min: 0, max: 1e9, integer: true },
  },
  codes: { help: 'entries of the table, for vq-vae', default: 64, range: count(65536) },
  particles: { help: 'samples of z an image, for iwae: 5 unless told', default: undefined, range: count(65536) },
  likelihood: { help: 'what a pixel is to the decoder', default: 'bernoulli', choices: ['bernoulli', 'gaussian'] },
  seed: {
    help: 'of weights, noise, shuffle and built-in data',
    default: 0,
    range: { min: 0, max: 2 ** 32 - 1, integer: true },
  },
  size: {
    help: 'side of the square that images are cropped and resized to: as stored, or at most 64 for PNG and JPEG, unless told',
    default: undefined,
    range: count(4096),
  },
  colors: { help: 'of the images, as stored unless told', default: undefined, choices: ['grey', 'rgb'] },
  budget: {
    help: 'MB of GPU memory for images, beyond which they are streamed: what the GPU lets one buffer have, unless told',
    default: undefined,
    range: real(0, 1e6),
    free: true,
  },
};

/** The value of an option, from what was typed. */
export function parseOption(name: keyof TrainOptions, text: string): string | number {
  const { range, choices } = OPTIONS[name];
  if (choices && !choices.includes(text)) {
    throw new OptionError(`--${name} must be one of ${choices.join(', ')}; got "${text}"`);
  }
  if (!range) return text;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  const { min, max, integer } = range;
  if (!(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
    throw new OptionError(
      `--${name} must be ${integer ? 'a whole number' : 'a number'} from ${min} to ${max}; got "${text}"`,
    );
  }
  return value;
}

/** All options: those given, checked, and the defaults of the rest. */
export function completeOptions(given: { readonly [name in keyof TrainOptions]?: unknown }): TrainOptions {
  const entries = Object.entries(OPTIONS).map(([name, rule]) => {
    const value = given[name as keyof TrainOptions];
    return [name, value === undefined ? rule.default : parseOption(name as keyof TrainOptions, String(value))];
  });
  return Object.fromEntries(entries) as unknown as TrainOptions;
}

/** How a command line shows an option: its flag, and its help with what there is to choose from. */
export function flagOf(name: keyof TrainOptions): { readonly flag: string; readonly help: string } {
  const { help, choices } = OPTIONS[name];
  return { flag: `--${name} <${choices ? 'name' : 'n'}>`, help: choices ? `${help}: ${choices.join(', ')}` : help };
}
