// When two nodes compute the same: they are of one op object, of the same inputs, with exactly the same attributes.
import type { Tensor } from '../ops/tensor.ts';

const identities = new WeakMap<object, number>();
let nextIdentity = 0;

function identityOf(value: object): number {
  const known = identities.get(value);
  if (known !== undefined) return known;
  identities.set(value, nextIdentity);
  return nextIdentity++;
}

const texts = new WeakMap<object, string>();

/**
 * A text that two values have in common exactly if they are equal: numbers by `Object.is` (JSON takes −0 for 0, and NaN for
 * null), arrays, typed arrays and plain objects by what is in them, anything else by identity.
 */
export function exactly(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  let text = texts.get(value);
  if (text === undefined) {
    text = textOf(value);
    texts.set(value, text);
  }
  return text;
}

function textOf(value: object): string {
  if (Array.isArray(value)) return `[${value.map(exactly)}]`;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return `${value.constructor.name}[${Array.from(value as Float64Array, exactly)}]`;
  }
  const prototype = Object.getPrototypeOf(value) as unknown;
  if (prototype !== Object.prototype && prototype !== null) return `#${identityOf(value)}`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${exactly(member)}`)}}`;
}

/** A text that two nodes have in common exactly if one may stand for the other. */
export function keyOf({ op, inputs, attrs, shape, dtype }: Tensor): string {
  const ids = inputs.map(({ id }) => id);
  if (op.traits?.commutative) ids.sort((a, b) => a - b);
  return `${identityOf(op)}|${ids}|${exactly(attrs)}|${dtype}|${shape}`;
}
