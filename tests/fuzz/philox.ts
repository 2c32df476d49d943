// Random numbers for the evaluator, by the definitions of the papers, in BigInt: slow, and sharing nothing with src/ops.

const MASK = 0xffffffffn;

/**
 * Philox 4×32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011, section 3.3): of a counter of four
 * words and a key of two, ten rounds of two 64-bit products whose high words are mixed with the other words and the key.
 */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [x0, x1, x2, x3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const left = x0 * 0xd2511f53n;
    const right = x2 * 0xcd9e8d57n;
    [x0, x1, x2, x3] = [(right >> 32n) ^ x1 ^ k0, right & MASK, (left >> 32n) ^ x3 ^ k1, left & MASK];
    k0 = (k0 + 0x9e3779b9n) & MASK;
    k1 = (k1 + 0xbb67ae85n) & MASK;
  }
  return [x0, x1, x2, x3].map(Number);
}

/** Uniform numbers in [0, 1) of 24 bits: element i is word i mod 4 of block ⌊i / 4⌋. */
export function uniformAt(i: number, key: readonly number[], counter: number, stream: number): number {
  return Math.floor(philox([Math.floor(i / 4), counter, stream, 0], key)[i % 4]! / 256) / 2 ** 24;
}

/** Box and Muller's pairs, of uniform numbers in (0, 1]: elements 2j and 2j + 1 are one pair's cosine and sine. */
export function normalAt(i: number, key: readonly number[], counter: number, stream: number): number {
  const words = philox([Math.floor(i / 4), counter, stream, 0], key);
  const pair = Math.floor((i % 4) / 2) * 2;
  const [u, v] = [words[pair]!, words[pair + 1]!].map((word) => (Math.floor(word / 256) + 1) / 2 ** 24) as [
    number,
    number,
  ];
  const angle = 2 * Math.PI * v;
  return Math.sqrt(-2 * Math.log(u)) * (i % 2 ? Math.sin(angle) : Math.cos(angle));
}

/**
 * A permutation of 0 … count−1: a balanced Feistel network of four rounds over the next even power of two, walked until it
 * lands below `count` (Black and Rogaway, Ciphers with arbitrary finite domains, 2002).
 */
export function permuted(index: number, count: number, key: readonly number[]): number {
  let half = 1;
  while (4 ** half < count) half++;
  const base = 2 ** half;
  let value = index;
  do {
    let [left, right] = [Math.floor(value / base), value % base];
    for (let round = 0; round < 4; round++) {
      const mixed = philox([right, round, 0x7065726d, 0], key)[0]! % base;
      [left, right] = [right, Number(BigInt(left) ^ BigInt(mixed))];
    }
    value = left * base + right;
  } while (value >= count);
  return value;
}
