// Ops of several results, and what autodiff says of rules that lie.
import { expect, test } from 'vitest';
import { ShapeError } from '../src/errors.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { printGraph } from '../src/graph/graph.ts';
import { simplify } from '../src/graph/simplify.ts';
import { add, cos, exp, mul, neg, sin } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { apply, applyAll, type Op, type Tensor } from '../src/ops/tensor.ts';

const f32 = (shape: readonly number[]) => ({ shape, dtype: 'f32' }) as const;

const sinCos: Op<object> = {
  name: 'sinCos',
  infer: ([x]) => [f32(x!.shape), f32(x!.shape)],
  decompose: ([x]) => [sin(x!), cos(x!)],
  grad: ({ all: [s, c] }, gs, gc) => [add(mul(gs!, c!), neg(mul(gc!, s!)))],
};

test('an op of several results gives a node for each, always the same', () => {
  const x = input('x', [3]);
  const [s, c] = applyAll(sinCos, [x], {}) as [Tensor, Tensor];
  expect(s.inputs[0]).toBe(c.inputs[0]);
  expect(s.inputs[0]!.all).toEqual([s, c]);
  expect(String(s.inputs[0])).toContain('f32[3], f32[3]');
  const other = s.inputs[0]!.with({ inputs: [input('y', [3])] });
  expect(c.with({ inputs: [other] })).toBe(other.all[1]);
  expect(() => apply(sinCos, [x], {})).toThrow('sinCos gives 2 results: use applyAll');
});

test('its rule gets the cotangents of all results, zeros for one that nothing reads', () => {
  const x = input('x', [3]);
  const [s, c] = applyAll(sinCos, [x], {}) as [Tensor, Tensor];
  const text = (loss: Tensor) => printGraph(simplify({ outputs: { g: gradients(loss, [x])[0]! }, updates: [] }));
  expect(text(sum(c))).toMatchInlineSnapshot(`
    "%0 = constant() {"value":0,"dtype":"f32"} : f32[]
    %1 = input() {"name":"x","shape":[3],"dtype":"f32"} : f32[3]
    %2 = cos(%1) : f32[3]
    %3 = mul(%0, %2) : f32[3]
    %4 = sin(%1) : f32[3]
    %5 = neg(%4) : f32[3]
    %6 = add(%3, %5) : f32[3]
    output g = %6"
  `);
  expect(text(add(sum(s), sum(c)))).toContain('add');
});

test('rules that lie are told so', () => {
  const x = input('x', [3]);
  const of = (more: Partial<Op<object>>): Op<object> => ({ name: 'mine', infer: ([x]) => f32(x!.shape), ...more });
  const differentiate = (more: Partial<Op<object>>) => () => gradients(sum(apply(of(more), [x], {}, 'net')), [x]);
  expect(differentiate({})).toThrow('net: mine has no gradient rule');
  expect(differentiate({ grad: () => [] })).toThrow('net: mine: its grad gives 0 cotangents for 1 inputs');
  expect(differentiate({ grad: (_, g) => [sum(g!)] })).toThrow('gives f32[] for input 0, which is f32[3]');
  expect(() => apply(of({ infer: () => ({ shape: [1.5], dtype: 'f32' }) }), [x], {})).toThrow(
    'mine: its infer must return { shape, dtype }, or a list of these, got {"shape":[1.5],"dtype":"f32"}',
  );
  expect(() => apply(of({ infer: () => undefined as never }), [x], {})).toThrow(ShapeError);
  const composite = of({ decompose: ([x]) => sum(exp(x!)) });
  const graph = () => simplify({ outputs: { y: apply(composite, [x], {}, 'net') }, updates: [] });
  expect(graph).toThrow('net: mine: infer says f32[3], and decompose makes f32[]');
});
