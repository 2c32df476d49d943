// Holds what a device computed against the evaluator's samples: the tolerance of an element follows from how far they lie apart.
import { EPSILON, spreadAt, type Value } from './values.ts';

/** What was compared so far, for the report at the end. */
export interface Tally {
  graphs: number;
  nodes: number;
  tensors: number;
  elements: number;
  /** Elements of which rounding may decide, or that may overflow: nothing can be said of them. */
  undecided: number;
  /** The largest error that passed, as a share of its tolerance. */
  worst: number;
}

export const emptyTally = (): Tally => ({ graphs: 0, nodes: 0, tensors: 0, elements: 0, undecided: 0, worst: 0 });

function median(values: Float64Array): number {
  if (values.length === 0) return 0;
  const sorted = values.toSorted();
  return sorted[Math.floor(sorted.length / 2)]!;
}

/** What is wrong with `actual`, in a line; undefined if nothing is. */
export function difference(actual: ArrayLike<number>, expected: Value, tally: Tally): string | undefined {
  const { samples, dtype, shape } = expected;
  const [exact] = samples as [Float64Array];
  if (actual.length !== exact.length) return `has ${actual.length} elements for ${exact.length}`;
  tally.tensors++;
  const spreads = exact.map((_, i) => spreadAt(samples, i));
  // The samples may lie together by chance: what is common in the tensor counts for each element.
  const common = median(spreads.map((spread) => (Number.isFinite(spread) ? spread : 0)));
  const wrong: string[] = [];
  for (let i = 0; i < exact.length; i++) {
    const [got, want, spread] = [actual[i]!, exact[i]!, spreads[i]!];
    if (!Number.isFinite(spread)) {
      tally.undecided++;
      continue;
    }
    tally.elements++;
    const integral = dtype === 'u32' || dtype === 'u8';
    const tolerance = integral
      ? spread > 0
        ? Infinity
        : 0
      : 8 * spread + 16 * Math.min(common, Math.abs(want) + common) + 4 * EPSILON * Math.abs(want) + 1e-35;
    const error = Object.is(got, want) || got === want ? 0 : Math.abs(got - want);
    if (error <= tolerance) {
      if (tolerance > 0 && Number.isFinite(tolerance)) tally.worst = Math.max(tally.worst, error / tolerance);
      continue;
    }
    if (Number.isNaN(want) && Number.isNaN(got)) continue;
    if (wrong.length < 4) wrong.push(`[${i}] is ${got} for ${want} ± ${tolerance.toPrecision(2)}`);
    else if (wrong.length === 4) wrong.push('…');
  }
  return wrong.length ? `${dtype}[${shape.join(', ')}]: ${wrong.join('; ')}` : undefined;
}
