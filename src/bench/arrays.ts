// Arrays on the host, and random numbers to fill them with: the same for all engines.

export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export const sizeOf = (shape: readonly number[]) => shape.reduce((size, dim) => size * dim, 1);

/** Marsaglia's xorshift32. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export function uniform(shape: readonly number[], bound: number, random: () => number): NdArray {
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = (2 * random() - 1) * bound;
  return { shape, data };
}
