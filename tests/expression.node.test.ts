// Expressions of WGSL know what they use: what nothing uses is left out, and what is used, in whatever way, stays.
import fc from 'fast-check';
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

/** What an expression of u32 is, by the values of its names. */
function evaluated(text: string, values: Map<string, number>): number {
  const plain = text
    .replace(/\b(\d+)u\b/g, '$1')
    .replace(/\b[a-z]\w*/g, (name) => `${values.get(name)}`)
    .replaceAll('>>', '>>>');
  return new Function(`return (${plain}) >>> 0`)() as number;
}

test('an index is divided right where it is not below 0, though its terms run backwards', () => {
  const terms = fc.array(fc.tuple(fc.integer({ min: -20, max: 20 }), fc.integer({ min: 2, max: 5 })), { maxLength: 4 });
  fc.assert(
    fc.property(
      terms,
      fc.integer({ min: -30, max: 90 }),
      fc.integer({ min: 1, max: 13 }),
      (terms, constant, divisor) => {
        const body = emitter();
        const value = terms.reduce(
          (sum, [scale, bound], i) => sum.plus(Affine.variable(`a${i}`, bound).times(scale)),
          Affine.constant(constant),
        );
        const [quotient, remainder] = body.divmod(value, divisor);
        body.statement(wgsl`${quotient} ${remainder}`);
        const statements = [...body.body.matchAll(/let (\w+) = (.*);/g)];
        const count = terms.reduce((product, [, bound]) => product * bound, 1);
        for (let point = 0; point < count; point++) {
          const values = new Map<string, number>();
          let left = point;
          let expected = constant;
          for (const [i, [scale, bound]] of terms.entries()) {
            values.set(`a${i}`, left % bound);
            expected += scale * (left % bound);
            left = Math.floor(left / bound);
          }
          if (expected < 0) continue;
          for (const [, name, text] of statements) values.set(name!, evaluated(text!, values));
          const actual = [quotient, remainder].map((part) => evaluated(part.toString(), values));
          expect(actual, `${value} by ${divisor}: ${body.body}`).toEqual([
            Math.floor(expected / divisor),
            expected % divisor,
          ]);
        }
      },
    ),
    { seed: TEST_SEED, numRuns: 120 },
  );
});
