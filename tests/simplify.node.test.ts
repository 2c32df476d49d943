// Simplification, rule by rule: a graph in, a graph out, as text.
import { describe, expect, test } from 'vitest';
import { exactly, keyOf } from '../src/graph/equal.ts';
import { type Graph, rootsOf, topological } from '../src/graph/graph.ts';
import { simplify } from '../src/graph/simplify.ts';
import { add, mul } from '../src/ops/elementwise.ts';
import { constant, input } from '../src/ops/source.ts';
import { apply, type Op, type Tensor } from '../src/ops/tensor.ts';

const graphOf = (outputs: Record<string, Tensor>): Graph => ({ outputs, updates: [] });

describe('equal nodes', () => {
  const merged = (a: Tensor, b: Tensor) => {
    const { outputs } = simplify(graphOf({ a, b }));
    return outputs.a === outputs.b;
  };
  const x = input('x', [3]);
  const opOf = (name: string): Op<object> => ({ ...(add(x, x).op as Op<object>), name, fold: undefined as never });

  test('are merged, whichever comes first where that makes no difference', () => {
    const y = input('y', [3]);
    expect(merged(add(x, y), add(y, x))).toBe(true);
    expect(merged(mul(x, y), mul(y, x))).toBe(true);
  });

  test('are of one op, and not only of one name', () => {
    const [one, other] = [opOf('mine'), opOf('mine')];
    expect(merged(apply(one, [x, x], {}), apply(one, [x, x], {}))).toBe(true);
    expect(merged(apply(one, [x, x], {}), apply(other, [x, x], {}))).toBe(false);
  });

  test('have exactly the same attributes', () => {
    const values = [0, -0, Number.NaN, null, undefined, '0', [0], [-0], Float32Array.of(0), Float64Array.of(0)];
    const op = opOf('mine');
    const nodes = values.map((value) => apply<object>(op, [x, x], { value }));
    expect(new Set(nodes.map(keyOf)).size).toBe(values.length);
    for (const value of values) expect(exactly({ value })).toBe(exactly({ value }));
    expect(exactly({ a: 1, b: Float32Array.of(-0, 1) })).toBe(exactly({ b: Float32Array.of(-0, 1), a: 1 }));
    // Of what is neither a list nor a plain object, each is itself.
    expect(exactly(new Map())).not.toBe(exactly(new Map()));
  });

  test('−0 is not 0', () => {
    const zeros = topological(rootsOf(simplify(graphOf({ a: mul(x, constant(-0)), b: mul(x, 0) })))).filter(
      ({ op }) => op.name === 'constant',
    );
    expect(zeros.map(({ attrs }) => (attrs as { value: number }).value)).toEqual([-0, 0]);
  });
});
