// The options of a training run by name: those of every run, and those of the models. The command line, its help, the
// page's form and checkpoints read these.
import { BINARIZATIONS, type Binarization } from '../data/binarize.ts';
import { OptionError } from '../errors.ts';
import { isTextEntry, MODELS, modelEntry } from './registry/registry.ts';
import { choice, dashed, type OptionRule, type OptionValue, parseValue } from './rules.ts';

export interface TrainOptions {
  readonly model: string;
  readonly epochs: number;
  /** Stop after so many steps, if that comes before the last epoch's end. */
  readonly steps: number | undefined;
  readonly batch: number;
  readonly lr: number;
  /** Steps after which the learning rate is half; constant without. */
  readonly decay: number | undefined;
  /** Decay of the moving average of the weights; 0 for none. */
  readonly average: number;
  /** Times its usual norm from which a gradient is skipped; 0 for never. */
  readonly skip: number;
  /** Batches whose gradients are averaged for one step of the optimizer. */
  readonly accumulate: number;
  readonly seed: number;
  readonly binarize: Binarization;
  readonly size: number | undefined;
  readonly colors: 'grey' | 'rgb' | undefined;
  readonly budget: number | undefined;
  /** The model's own. */
  readonly [option: string]: OptionValue;
}

/** What was given of them, before checks and defaults. */
export type GivenOptions = Readonly<Record<string, unknown>>;

const count = (max: number) => ({ min: 1, max, integer: true });
const real = (min: number, max: number) => ({ min, max, integer: false });

/** Of every run; a model may have a default of its own for `lr` and `decay`. */
const COMMON: Readonly<Record<string, OptionRule>> = {
  model: choice('what to train', [...MODELS.keys()] as [string, ...string[]]),
  epochs: { help: 'passes over the training data', default: 10, range: count(1e6), free: true, ofRun: true },
  steps: { help: 'stop after this many steps, for a quick look', range: count(2 ** 31), free: true, ofRun: true },
  batch: { help: 'images, or windows of text, a step', default: 128, range: count(65536) },
  lr: { help: 'learning rate of Adam', default: 1e-3, range: real(0, 1e3) },
  decay: { help: 'steps after which the rate is half, as 1 / (1 + step / n)', range: real(1, 1e9) },
  average: {
    help: 'decay of the moving average of the weights, which is tested and saved in their place; 0 for none',
    default: 0,
    range: real(0, 0.999999),
  },
  skip: {
    help: 'times its usual norm from which a gradient is skipped; 0 for never',
    default: 0,
    range: real(0, 1e6),
  },
  accumulate: {
    help: 'batches whose gradients are averaged for one step of the optimizer: as one batch that large, in the memory of one',
    default: 1,
    range: count(65536),
  },
  seed: {
    help: 'of weights, noise, shuffle and built-in data',
    default: 0,
    range: { min: 0, max: 2 ** 32 - 1, integer: true },
  },
  binarize: choice(
    'what is made of grey pixels: drawn anew in each step (dynamic; the test images once, by the seed), or cut at 128',
    BINARIZATIONS,
  ),
  size: {
    help: 'side of the square that images are cropped and resized to (default: as stored, at most 64 for PNG and JPEG)',
    range: count(4096),
    ofRun: true,
  },
  colors: { help: 'of the images (default: as stored)', choices: ['grey', 'rgb'], ofRun: true },
  budget: {
    help: 'MB of GPU memory for the data, beyond which they are streamed (default: what one buffer may have)',
    range: real(0, 1e6),
    free: true,
    ofRun: true,
  },
};

/** Of the options of every run, those that mean nothing to a model of text; its learning rate has a schedule of its own. */
const OF_IMAGES: readonly string[] = ['decay', 'size', 'colors', 'binarize'];

const ownDefaults = (model: string): Readonly<Record<string, OptionValue>> => {
  const entry = modelEntry(model);
  if (isTextEntry(entry)) return { ...entry.defaults };
  const { lr, decay, defaults } = entry;
  return { ...(lr !== undefined && { lr }), ...(decay !== undefined && { decay }), ...defaults };
};

/** The rules of all options that mean something to a model, with its defaults, by name. */
export function optionsOf(model: string): Readonly<Record<string, OptionRule>> {
  const defaults = Object.entries(ownDefaults(model)).map(([name, value]) => [
    name,
    { ...COMMON[name]!, default: value },
  ]);
  const entry = modelEntry(model);
  const common = Object.entries(COMMON).filter(([name]) => !(isTextEntry(entry) && OF_IMAGES.includes(name)));
  return { ...Object.fromEntries(common), ...Object.fromEntries(defaults), ...entry.options };
}

/** One option as all models together have it. */
export interface Option {
  readonly name: string;
  readonly rule: OptionRule;
  /** The models that it means something to; undefined for all. */
  readonly models: readonly string[] | undefined;
  /** Its help, with the choices and the defaults that the models have. */
  readonly help: string;
}

/** `0.001; 0.003 for conv-classifier`: what most have, and who has what else. */
function byModel(values: ReadonlyMap<string, string>, usual?: string): string {
  const others = new Set([...values.values()].filter((value) => value !== usual));
  const told = [...others].map((value) => {
    const models = [...values].filter(([, theirs]) => theirs === value).map(([model]) => model);
    return `${value} for ${models.join(', ')}`;
  });
  return [...(usual === undefined ? [] : [usual]), ...told].join('; ');
}

const shown = (value: OptionValue) => (value === undefined ? 'none' : String(value));

/** The first rule, with a range that holds those of all: what is typed is held against the model's own later. */
function widest(rules: readonly OptionRule[]): OptionRule {
  const ranges = rules.flatMap(({ range }) => range ?? []);
  if (ranges.length === 0) return rules[0]!;
  const [least, most] = [ranges.map(({ min }) => min), ranges.map(({ max }) => max)];
  const range = { min: Math.min(...least), max: Math.max(...most), integer: ranges.every(({ integer }) => integer) };
  return { ...rules[0]!, range };
}

/** @param models that are meant, of which at least one has the option */
function describe(name: string, models: readonly string[]): Option {
  const rules = new Map<string, OptionRule>();
  for (const model of models) {
    const rule = optionsOf(model)[name];
    if (rule) rules.set(model, rule);
  }
  const common = COMMON[name];
  const rule = common ?? widest([...rules.values()]);
  const choices = rule.choices ? `: ${rule.choices.join(', ')}` : '';
  const defaultsOf = (some: ReadonlyMap<string, OptionRule>, usual?: string) =>
    models.length === 1
      ? [...some.values()].map(({ default: value }) => shown(value)).join()
      : byModel(new Map([...some].map(([model, { default: value }]) => [model, shown(value)])), usual);
  if (common) {
    const defaults = defaultsOf(rules, shown(common.default));
    const told = defaults === 'none' ? '' : ` (default: ${defaults})`;
    return { name, rule, models: undefined, help: `${common.help}${choices}${told}` };
  }
  const helps = [...new Set([...rules.values()].map(({ help }) => help))];
  const parts = helps.map((help) => {
    const own = new Map([...rules].filter(([, rule]) => rule.help === help));
    return `${help}${choices} (default: ${defaultsOf(own)})`;
  });
  return { name, rule, models: [...rules.keys()], help: parts.join('; ') };
}

const names = new Set([...MODELS.values()].flatMap(({ options }) => Object.keys(options)));

/** All options there are: those of every run first, then those of some models. */
export const OPTIONS: readonly Option[] = [...Object.keys(COMMON), ...names].map((name) =>
  describe(name, [...MODELS.keys()]),
);

/** Those that mean something to one model, with its help and defaults. */
export const optionsAlone = (model: string): readonly Option[] =>
  Object.keys(optionsOf(model)).map((name) => describe(name, [model]));

/** The value of an option, from what was typed; see `completeOptions` for what is checked against the model. */
export function parseOption(name: string, text: string): string | number {
  const option = OPTIONS.find((option) => option.name === name);
  if (!option) throw new OptionError(`there is no option ${name}; there are: ${OPTIONS.map((o) => o.name).join(', ')}`);
  return parseValue(name, option.rule, text);
}

/**
 * All options of a run: those given, checked, and the model's defaults of the rest.
 *
 * @throws OptionError if a value is not allowed, or if an option means nothing to the model
 */
export function completeOptions(given: GivenOptions): TrainOptions {
  const model = String(parseValue('model', COMMON.model!, String(given.model ?? COMMON.model!.default)));
  const rules = optionsOf(model);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(rules, name)) continue;
    const { models } = OPTIONS.find((option) => option.name === name) ?? {};
    const known = Object.hasOwn(COMMON, name) ? `means nothing to ${model}` : 'is no option';
    const why = models ? `is for ${models.join(', ')}` : known;
    throw new OptionError(`${dashed(name)} ${why}; ${model} has: ${Object.keys(rules).map(dashed).join(', ')}`);
  }
  const entries = Object.entries(rules).map(([name, rule]) => {
    const value = given[name];
    return [name, value === undefined ? rule.default : parseValue(name, rule, String(value))];
  });
  return Object.fromEntries(entries) as unknown as TrainOptions;
}

/** The options of a saved run, without those that its model does not read: files of earlier versions hold all. */
export function savedOptions(saved: GivenOptions): TrainOptions {
  const rules = optionsOf(String(saved.model));
  return completeOptions(Object.fromEntries(Object.entries(saved).filter(([name]) => Object.hasOwn(rules, name))));
}

/** Names of those in which a resumed run may differ. */
export const FREE: readonly string[] = OPTIONS.filter(({ rule }) => rule.free).map(({ name }) => name);

/** How a command line shows an option. */
export function flagOf({ name, rule }: Option): string {
  return `${dashed(name)} <${rule.choices ? 'name' : 'n'}>`;
}
