// What an option of a training run may be: one rule an option, from which the command's help, the page's form and all
// checks follow.
import { OptionError } from '../errors.ts';

export interface OptionRule {
  readonly help: string;
  readonly default?: string | number | undefined;
  /** Given for numbers. */
  readonly range?: { readonly min: number; readonly max: number; readonly integer: boolean };
  readonly choices?: readonly string[];
  /** Whether a resumed run may have another value: the result up to here does not depend on it. */
  readonly free?: boolean;
  /** Whether it says how many steps there are, and of what images, rather than how one is computed. */
  readonly ofRun?: boolean;
}

export type OptionValue = string | number | undefined;

/** A whole number. */
export function whole(help: string, value: number, { min = 1, max = 65536 } = {}) {
  return { help, default: value, range: { min, max, integer: true } };
}

/** A number. */
export function real(help: string, value: number, { min = 0, max = 1e6 } = {}) {
  return { help, default: value, range: { min, max, integer: false } };
}

/** One of some words; the first by default. */
export function choice<const Choices extends readonly [string, ...string[]]>(help: string, choices: Choices) {
  return { help, default: choices[0], choices };
}

/** The values that rules allow. */
export type Values<Rules> = {
  readonly [Name in keyof Rules]: Rules[Name] extends { readonly choices: readonly (infer Choice)[] } ? Choice : number;
};

/** An option as it is typed: `freeBits` is `--free-bits`. */
export function dashed(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The value of an option, from what was typed. @throws OptionError */
export function parseValue(
  name: string,
  { range, choices }: Pick<OptionRule, 'range' | 'choices'>,
  text: string,
): string | number {
  if (choices && !choices.includes(text)) {
    throw new OptionError(`${dashed(name)} must be one of ${choices.join(', ')}; got "${text}"`);
  }
  if (!range) return text;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  const { min, max, integer } = range;
  if (!(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
    throw new OptionError(
      `${dashed(name)} must be ${integer ? 'a whole number' : 'a number'} from ${min} to ${max}; got "${text}"`,
    );
  }
  return value;
}
