// What constant expressions of WGSL are worth: loops are written out by that, and workgroups and their memory counted.
import { ShaderError } from '../errors.ts';

/** The number that a literal is, as 1 or 0 where it is a truth value; NaN for another word. */
export function numberOf(literal: string): number {
  if (literal === 'true' || literal === 'false') return literal === 'true' ? 1 : 0;
  return Number(literal.replace(/u$/, ''));
}

/**
 * The value of a sum, product or quotient of whole numbers and constants, such as `(TILE_M + 3u) / 4u`.
 *
 * @param valueOf the value of a name; NaN or undefined where it is none of a constant
 * @throws ShaderError if it is made of anything else
 */
export function constantValue(expression: string, valueOf: (name: string) => number | undefined): number {
  const tokens = expression.match(/\w+|\S/g) ?? [];
  let at = 0;
  const fail = (token = 'its end') => new ShaderError(`«${expression.trim()}» is no constant: it has ${token}`);
  const factor = (): number => {
    const token = tokens[at++];
    if (token === undefined) throw fail();
    if (token === '(') {
      const inner = sum();
      if (tokens[at++] !== ')') throw fail();
      return inner;
    }
    const value = valueOf(token) ?? numberOf(token);
    if (!Number.isFinite(value)) throw fail(token);
    return value;
  };
  const product = (): number => {
    let value = factor();
    for (let token = tokens[at]; token === '*' || token === '/'; token = tokens[at]) {
      at++;
      value = token === '*' ? value * factor() : Math.floor(value / factor());
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (let token = tokens[at]; token === '+' || token === '-'; token = tokens[at]) {
      at++;
      value += token === '+' ? product() : -product();
    }
    return value;
  };
  const value = sum();
  if (at < tokens.length) throw fail(tokens[at]);
  return value;
}
