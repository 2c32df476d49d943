// The built-in text: sentences of a small grammar, so that a model of text has something to learn from where no file is given.
import { Generator } from '../nn/generator.ts';

/** Each noun with its plural, and verbs likewise: that they agree is what there is to learn, beside the words. */
const NOUNS = [
  ['bird', 'birds'],
  ['child', 'children'],
  ['farmer', 'farmers'],
  ['fox', 'foxes'],
  ['king', 'kings'],
  ['river', 'rivers'],
  ['sailor', 'sailors'],
  ['tree', 'trees'],
  ['wolf', 'wolves'],
  ['woman', 'women'],
] as const;
const VERBS = [
  ['follows', 'follow'],
  ['hears', 'hear'],
  ['loves', 'love'],
  ['sees', 'see'],
  ['watches', 'watch'],
] as const;
const MOVES = [
  ['rests', 'rest'],
  ['sings', 'sing'],
  ['sleeps', 'sleep'],
  ['waits', 'wait'],
] as const;
const ADJECTIVES = ['dark', 'gentle', 'green', 'old', 'quiet', 'small', 'tall', 'wild', 'young'];
const PLACES = ['behind the hill', 'by the sea', 'in the garden', 'near the old mill', 'under the bridge'];
const TIMES = ['at night', 'in spring', 'every morning', 'after the rain'];
const BOTH = [
  ['a', 'some'],
  ['the', 'the'],
  ['this', 'these'],
  ['every', 'all'],
] as const;

/** So many sentences, one a line: the same for the same seed. */
export function grammarText({ seed = 0, sentences = 6000 } = {}): string {
  const generator = new Generator(seed, 0x74657874);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(generator.uniform() * list.length)]!;
  const chance = (p: number) => generator.uniform() < p;
  const phrase = () => {
    const number = chance(0.5) ? 1 : 0;
    const adjective = chance(0.4) ? `${pick(ADJECTIVES)} ` : '';
    // "an old", where it is "a".
    const article = pick(BOTH)[number];
    const noun = pick(NOUNS)[number];
    const first = article === 'a' && /^[aeiou]/.test(adjective || noun) ? 'an' : article;
    return { number, text: `${first} ${adjective}${noun}` };
  };
  const sentence = () => {
    const { number, text } = phrase();
    const does = chance(0.6) ? `${pick(VERBS)[number]!} ${phrase().text}` : pick(MOVES)[number]!;
    const place = chance(0.4) ? ` ${pick(PLACES)}` : '';
    const time = chance(0.25) ? ` ${pick(TIMES)}` : '';
    return `${text} ${does}${place}${time}.`;
  };
  return `${Array.from({ length: sentences }, sentence).join('\n')}\n`;
}
