// Simplification, rule by rule: a graph in, a graph out, as text.
import { describe, expect, test } from 'vitest';
import { exactly, keyOf } from '../src/graph/equal.ts';
import { type Graph, rootsOf, topological } from '../src/graph/graph.ts';
import { simplify } from '../src/graph/simplify.ts';
import { add, exp, mul, neg, tanh } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { constant, input } from '../src/ops/source.ts';
import { apply, type Op, type Tensor } from '../src/ops/tensor.ts';
import { broadcastTo, reshape, stopGradient, transpose } from '../src/ops/view.ts';

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

describe('rules', () => {
  const x = input('x', [2, 3]);
  const fired = (result: Tensor) => {
    const lines: string[] = [];
    simplify(graphOf({ result }), {
      trace: (rule, before, after) => lines.push(`${rule}: ${before.op.name} → ${after.op.name}`),
    });
    return lines;
  };

  test('a rule that did not apply to a node is not tried on it again', () => {
    let tried = 0;
    const op: Op<object> = {
      name: 'counted',
      infer: ([x]) => x!,
      get decompose(): undefined {
        tried++;
        return undefined;
      },
    };
    const y = apply(op, [x], {});
    tried = 0;
    expect(fired(neg(neg(neg(neg(y))))).length).toBeGreaterThan(0);
    expect(tried).toBe(1);
  });

  test('a chain of 50,000 comes to rest', () => {
    let y: Tensor = x;
    for (let i = 0; i < 50_000; i++) y = i % 2 ? exp(y) : tanh(y);
    expect(topological(rootsOf(simplify(graphOf({ y }))))).toHaveLength(50_001);
  });

  test('a trace tells which fired on what', () => {
    expect(fired(add(neg(neg(x)), mul(constant(2), 0)))).toMatchInlineSnapshot(`
      [
        "a double negation is none: neg → input",
        "constants are folded: mul → constant",
        "neutral elements are dropped: add → input",
      ]
    `);
    expect(fired(sum(transpose(mul(x, input('w', [3]))), { axis: 1 }))).toMatchInlineSnapshot(`
      [
        "transposes follow reductions: sum → transpose",
        "a factor that is the same all along a sum follows it: sum → mul",
        "a transpose of a transpose is one: transpose → reshape",
        "a reshape of a reshape is one: reshape → input",
        "a reshape of a reshape is one: reshape → mul",
      ]
    `);
  });

  test('products that a sum goes over are not taken apart without end', () => {
    let square = x;
    for (let i = 0; i < 200; i++) square = mul(square, square);
    expect(topological(rootsOf(simplify(graphOf({ y: sum(square) })))).length).toBeLessThan(250);
    const w = input('w', [3]);
    let both = mul(x, w);
    for (let i = 0; i < 40; i++) both = mul(both, both);
    expect(topological(rootsOf(simplify(graphOf({ y: sum(both, { axis: 0 }) })))).length).toBeLessThan(80);
  });

  test('nothing recurses to the depth of the model', () => {
    let y: Tensor = broadcastTo(constant(1), [2, 3]);
    for (let i = 0; i < 50_000; i++) y = i % 2 ? reshape(y, [2, 3]) : stopGradient(reshape(y, [3, 2]));
    let z: Tensor = x;
    for (let i = 0; i < 50_000; i++) z = i % 2 ? tanh(z) : exp(z);
    const { outputs } = simplify(graphOf({ y, z }));
    expect(topological(Object.values(outputs)).length).toBeLessThan(50_010);
  });
});
