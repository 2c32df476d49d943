// What the codes of many images have in common: how much each dimension carries, and the two directions that show most.

/** Codes [count, size]: means of q(z | x), and logarithms of its variances. */
export interface Codes {
  readonly mean: Float32Array;
  readonly logvar: Float32Array;
  readonly size: number;
  readonly count: number;
}

/** Mean of KL(q(z_i | x) ‖ p(z_i)) over the images, in nats, for each dimension (Kingma and Welling, 2013, appendix B). */
export function carried({ mean, logvar, size, count }: Codes): Float64Array {
  const kl = new Float64Array(size);
  for (let i = 0; i < count * size; i++) {
    kl[i % size]! += (0.5 * (mean[i]! ** 2 + Math.exp(logvar[i]!) - 1 - logvar[i]!)) / count;
  }
  return kl;
}

/** Dimensions, that which carries most first. */
export function orderOf(kl: ArrayLike<number>): number[] {
  return Array.from({ length: kl.length }, (_, i) => i).sort((a, b) => kl[b]! - kl[a]!);
}

/** A plane through the codes: a point of it is centre + u · first + v · second. */
export interface Plane {
  readonly center: Float64Array;
  readonly axes: readonly [Float64Array, Float64Array];
  /** The share of the codes' variance that lies in it. */
  readonly share: number;
}

/** Power iteration on a symmetric matrix [n, n]: the direction of its largest eigenvalue, and that. */
function principal(matrix: Float64Array, n: number): { vector: Float64Array; value: number } {
  // Not an axis, to which the direction could be at right angles.
  let vector = Float64Array.from({ length: n }, (_, i) => 1 + 0.37 * Math.sin(3 * i + 1));
  let value = 0;
  for (let round = 0; round < 500; round++) {
    const next = new Float64Array(n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) next[i]! += matrix[i * n + j]! * vector[j]!;
    const length = Math.hypot(...next);
    if (length < 1e-12) return { vector: new Float64Array(n), value: 0 };
    const moved = next.reduce((most, x, i) => Math.max(most, Math.abs(x / length - vector[i]!)), 0);
    vector = next.map((x) => x / length);
    value = length;
    if (moved < 1e-9) break;
  }
  // One of the two signs, so that a map that is drawn again is the same way around.
  const largest = vector.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  return { vector: largest < 0 ? vector.map((x) => -x) : vector, value };
}

/** The plane of codes of two numbers is that of these; of more, that of the first two principal components. */
export function planeOf({ mean, size, count }: Pick<Codes, 'mean' | 'size' | 'count'>): Plane {
  const center = new Float64Array(size);
  if (size <= 2) {
    return {
      center,
      axes: [
        Float64Array.from({ length: size }, (_, i) => +(i === 0)),
        Float64Array.from({ length: size }, (_, i) => +(i === 1)),
      ],
      share: 1,
    };
  }
  for (let i = 0; i < count * size; i++) center[i % size]! += mean[i]! / count;
  const covariance = new Float64Array(size * size);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < size; i++) {
      const a = mean[row * size + i]! - center[i]!;
      for (let j = 0; j < size; j++) covariance[i * size + j]! += (a * (mean[row * size + j]! - center[j]!)) / count;
    }
  }
  const total = Array.from({ length: size }, (_, i) => covariance[i * size + i]!).reduce((a, b) => a + b, 0);
  const first = principal(covariance, size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) covariance[i * size + j]! -= first.value * first.vector[i]! * first.vector[j]!;
  }
  const second = principal(covariance, size);
  return { center, axes: [first.vector, second.vector], share: total > 0 ? (first.value + second.value) / total : 1 };
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Where codes lie in a plane: [count, 2]. */
export function project(
  { mean, size, count }: Pick<Codes, 'mean' | 'size' | 'count'>,
  { center, axes }: Plane,
): Float64Array {
  const [x, y] = axes.map((axis) => dot(center, axis)) as [number, number];
  const places = new Float64Array(2 * count);
  for (let row = 0; row < count; row++) {
    let [u, v] = [-x, -y];
    for (let i = 0; i < size; i++) {
      u += mean[row * size + i]! * axes[0][i]!;
      v += mean[row * size + i]! * axes[1][i]!;
    }
    places[2 * row] = u;
    places[2 * row + 1] = v;
  }
  return places;
}

/** The code at a place of the plane. */
export function codeAt({ center, axes }: Plane, u: number, v: number): Float32Array {
  return Float32Array.from(center, (x, i) => x + u * axes[0][i]! + v * axes[1][i]!);
}

/** The rows of `rows` [count, width] nearest to one, the nearest first. */
export function nearest(
  rows: Float32Array,
  one: ArrayLike<number>,
  most: number,
): { index: number; distance: number }[] {
  const width = one.length;
  const found = Array.from({ length: rows.length / width }, (_, index) => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += (rows[index * width + i]! - one[i]!) ** 2;
    return { index, distance: Math.sqrt(sum) };
  });
  return found.sort((a, b) => a.distance - b.distance).slice(0, most);
}

/** Codes from one to another in equal steps, ends included: [count, size]. */
export function between(from: ArrayLike<number>, to: ArrayLike<number>, count: number): Float32Array {
  const size = from.length;
  return Float32Array.from({ length: count * size }, (_, k) => {
    const [row, i] = [Math.floor(k / size), k % size];
    return from[i]! + ((to[i]! - from[i]!) * row) / Math.max(1, count - 1);
  });
}

/** The share of sorted numbers that are below one. */
export function rankOf(sorted: ArrayLike<number>, value: number): number {
  let below = 0;
  while (below < sorted.length && sorted[below]! < value) below++;
  return below / Math.max(1, sorted.length);
}
