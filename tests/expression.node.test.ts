// Expressions of WGSL know what they use: what nothing uses is left out, and what is used, in whatever way, stays.
import { expect, test } from 'vitest';
import { BodyEmitter, KernelText } from '../src/graph/emit.ts';
import { Affine } from '../src/ops/affine.ts';
import { Expr, wgsl } from '../src/ops/expression.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';

const place = (tensor: Tensor) => {
  return { key: `${tensor.id}`, tensor, allocation: { kind: 'input', name: 'x' }, offset: 0 } as const;
};
const emitter = () => new BodyEmitter(new KernelText(place, new Set()), () => true);

test('wgsl`…` collects the names of expressions and of indices', () => {
  const [a, b] = [new Expr('v1', ['v1']), new Expr('v2', ['v2'])];
  const index = Affine.variable('i', 8).times(4);
  const sum = wgsl`f(${a}, ${wgsl`${b} * ${2}`}) + x[${index}]`;
  expect(sum.text).toBe('f(v1, v2 * 2) + x[i * 4u]'.replace('i * 4u', '(i * 4u)'));
  expect(new Set(sum.uses)).toEqual(new Set(['v1', 'v2', 'i']));
});

test('statements that nothing uses are left out, and those behind them; a loop keeps what it reads', () => {
  const body = emitter();
  const kept = body.let(wgsl`exp(${1})`);
  const unused = body.let(wgsl`log(${kept})`);
  body.let(wgsl`sin(${unused})`);
  // Quotients are used by the index alone.
  const [quotient] = body.divmod(Affine.variable('i', 35), 7);
  const total = body.sum(3, (k) => wgsl`${kept} * f32(${k.plus(quotient)})`);
  body.statement(wgsl`return ${total};`);
  expect(body.body).toContain('exp(1)');
  expect(body.body).not.toMatch(/log|sin/);
  const declared = [...body.body.matchAll(/(?:let|var) (\w+)/g)].map(([, name]) => name);
  for (const [name] of body.body.matchAll(/\bv\d+/g)) expect(declared).toContain(name);
});

test('four neighbours that are masked alike are masked at once', () => {
  const body = emitter();
  const x = input('x', [16]);
  const at = Affine.variable('i', 4).times(4);
  const outside = [wgsl`i > 2u`];
  const lanes = [0, 1, 2, 3].map((lane) => body.masked(body.value(x, [at.plus(lane)]), outside, 'f32'));
  expect(lanes.map(({ component }) => component?.lane)).toEqual([0, 1, 2, 3]);
  expect(new Set(lanes.map(({ component }) => component?.vector)).size).toBe(1);
  body.statement(wgsl`return ${lanes[0]!.component!.vector};`);
  expect(body.body.match(/select/g)).toHaveLength(1);
});
