// The TypeScript twin of the random-number functions in shaders/functions.wgsl: the same integers, bit for bit.

/** High and low word of a 64-bit product. */
function multiplyWide(a: number, b: number): [number, number] {
  const [a0, a1, b0, b1] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle % 0x10000);
  return [(a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000)) >>> 0, Math.imul(a, b) >>> 0];
}

type Words = readonly [number, number, number, number];

function round(counter: Words, key: readonly [number, number]): Words {
  const [high0, low0] = multiplyWide(0xd2511f53, counter[0]);
  const [high1, low1] = multiplyWide(0xcd9e8d57, counter[2]);
  return [(high1 ^ counter[1] ^ key[0]) >>> 0, low1, (high0 ^ counter[3] ^ key[1]) >>> 0, low0];
}

/** Philox 4×32 with 10 rounds (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011). */
export function philox(counter: Words, key: readonly [number, number]): Uint32Array {
  let words = counter;
  let [k0, k1] = key;
  for (let i = 0; i < 10; i++) {
    words = round(words, [k0, k1]);
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return Uint32Array.from(words);
}

/** Half the bits of the Feistel network that permutes `count` things. */
export function halfBits(count: number): number {
  return Math.max(1, Math.ceil(Math.log2(Math.max(count, 2)) / 2));
}

/** The image of `index` under the permutation of 0 … count−1 that `key` chooses. */
export function permute(index: number, count: number, key: readonly [number, number]): number {
  const half = halfBits(count);
  const mask = 2 ** half - 1;
  let value = index;
  do {
    let left = value >>> half;
    let right = value & mask;
    for (let i = 0; i < 4; i++) {
      const mixed = philox([right, i, 0x7065726d, 0], key)[0]!;
      [left, right] = [right, (left ^ (mixed & mask)) >>> 0];
    }
    value = ((left << half) | right) >>> 0;
  } while (value >= count);
  return value;
}
