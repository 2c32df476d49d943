// The TypeScript twin of the functions of shaders/random.wgsl: the same integers, bit for bit.

/** The high word of a 64-bit product. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle % 0x10000);
  return (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000)) >>> 0;
}

type Words = readonly [number, number, number, number];

/** Philox 4×32 with 10 rounds (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011). */
export function philox(counter: Words, key: readonly [number, number]): Uint32Array {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let i = 0; i < 10; i++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return Uint32Array.of(c0, c1, c2, c3);
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
