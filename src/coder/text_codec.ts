// Tokens to bits and back, each by what a gpt and the text so far say of it. What follows must be known before it can be decoded, and a
// stack gives back last what was pushed first: so all distributions of a block come first, and its tokens are pushed from the last on.
import { DataError } from '../errors.ts';
import type { CodedBlock } from './bits_back.ts';
import type { ExactGpt } from './exact_gpt.ts';
import type { Times } from './layer_coder.ts';
import { AnsStack } from './rans.ts';
import { MixedDistribution } from './seen_text.ts';
import { Slots } from './slots.ts';

/** A symbol that is a token, or, below 0, a character that the vocabulary has not: −1 − its code point. */
export const characterSymbol = (codePoint: number) => -1 - codePoint;

const CHARACTER_BITS = 21;
/** What the model is told in the place of a character that it does not know. */
const STAND_IN = 0;
/** Between two rests, in which others have their turn: milliseconds. */
const TURN_MS = 100;

const tokenOf = (symbol: number) => (symbol < 0 ? STAND_IN : symbol);

/** The tokens have slots and, behind them, what is none. */
const precisionOf = (vocabulary: number) => (vocabulary < 2 ** 12 ? 20 : 24);

const mixHash = (hash: number, start: number, frequency: number) =>
  Math.imul(Math.imul(hash ^ start, 0x01000193) ^ frequency, 0x01000193);

/** Lets others have a turn now and then. */
function turns() {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < TURN_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    last = performance.now();
  };
}

/** @param symbols of a block */
export async function encodeSymbols(
  gpt: ExactGpt,
  symbols: Int32Array,
  times: Times,
  tell?: (done: number) => void,
): Promise<CodedBlock> {
  const { vocabulary } = gpt;
  const precision = precisionOf(vocabulary);
  const slots = new Slots(vocabulary + 1, precision);
  const mixed = new MixedDistribution(vocabulary);
  const starts = new Uint32Array(symbols.length);
  const frequencies = new Uint32Array(symbols.length);
  const turn = turns();
  let digest = 0x811c9dc5;
  gpt.reset();
  // Before the first token the model says nothing.
  let rows: Float64Array = new Float64Array(vocabulary);
  let from = 0;
  for (let i = 0; i < symbols.length; i++) {
    const began = performance.now();
    if ((i - from) * vocabulary === rows.length) {
      rows = gpt.logits(Array.from(symbols.subarray(i - 1, i - 1 + gpt.room), tokenOf));
      from = i;
      times.networks += performance.now() - began;
    }
    const middle = performance.now();
    const row = (i - from) * vocabulary;
    slots.set(mixed.distribution(rows.subarray(row, row + vocabulary)), 1);
    const index = symbols[i]! < 0 ? vocabulary : symbols[i]!;
    starts[i] = slots.start(index);
    frequencies[i] = slots.frequency(index);
    digest = mixHash(digest, starts[i]!, frequencies[i]!);
    mixed.learn(tokenOf(symbols[i]!));
    times.coder += performance.now() - middle;
    tell?.(i + 1);
    await turn();
  }
  const stack = new AnsStack(1);
  for (let i = symbols.length - 1; i >= 0; i--) {
    if (symbols[i]! < 0) stack.push(-1 - symbols[i]!, 1, CHARACTER_BITS);
    stack.push(starts[i]!, frequencies[i]!, precision);
  }
  return { batches: [], stack: stack.encode(), digest: digest >>> 0 };
}

/** @throws DataError if the block is damaged, or was made with other distributions */
export async function decodeSymbols(
  gpt: ExactGpt,
  { stack: coded, digest: wanted }: CodedBlock,
  count: number,
  times: Times,
  tell?: (done: number) => void,
): Promise<Int32Array> {
  const { vocabulary } = gpt;
  const slots = new Slots(vocabulary + 1, precisionOf(vocabulary));
  const mixed = new MixedDistribution(vocabulary);
  const symbols = new Int32Array(count);
  const stack = AnsStack.decode(coded);
  const turn = turns();
  let digest = 0x811c9dc5;
  gpt.reset();
  let logits: Float64Array = new Float64Array(vocabulary);
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    slots.set(mixed.distribution(logits), 1);
    const index = slots.pop(stack);
    digest = mixHash(digest, slots.start(index), slots.frequency(index));
    if (index === vocabulary) {
      const character = stack.peek(CHARACTER_BITS);
      stack.drop(character, 1, CHARACTER_BITS);
      symbols[i] = -1 - character;
    } else symbols[i] = index;
    const token = tokenOf(symbols[i]!);
    mixed.learn(token);
    const middle = performance.now();
    times.coder += middle - began;
    if (i + 1 < count) logits = gpt.next(token);
    times.networks += performance.now() - middle;
    tell?.(i + 1);
    await turn();
  }
  if (digest >>> 0 !== wanted) {
    throw new DataError('its distributions are not those that it was made with: it is damaged, or of another model');
  }
  if (!stack.isFirst) throw new DataError('it does not end where it began: it is damaged');
  return symbols;
}
