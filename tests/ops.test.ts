// Every op of the registry, forward against its float64 reference and backward against central differences of it,
// over its samples and over random shapes. An op that is added is tested by being added.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ops } from '../src/ops/registry.ts';
import { constant, inputOp, variableOp } from '../src/ops/source.ts';
import { type Op, resultOp } from '../src/ops/tensor.ts';
import { sharedGpu } from './numbers.ts';
import { checkOp, freshSeed, TRIED } from './op_check.ts';

/** Inputs, variables and results of others compute nothing; constants have no inputs to sample. */
const SOURCES = new Set<unknown>([inputOp, variableOp, resultOp]);

test('every op that a file of src/ops/ exports is in the registry', () => {
  const modules = import.meta.glob<Record<string, unknown>>('../src/ops/*.ts', { eager: true });
  const exported = Object.values(modules).flatMap((module) =>
    Object.entries(module).filter(([name]) => /Op$/.test(name)),
  );
  expect(exported.length).toBeGreaterThan(20);
  for (const [name, op] of exported) expect(ops, `${name} belongs into src/ops/registry.ts`).toContain(op);
});

describe.each(ops.filter((op) => !SOURCES.has(op)).map((op) => [op.name, op] as const))('%s', (_, op) => {
  test('says all that an op must say', () => {
    const ways = [op.emit, op.variants, op.decompose].filter(Boolean);
    expect(ways, 'exactly one of emit, variants and decompose').toHaveLength(1);
    expect(op.reference, 'a float64 reference').toBeDefined();
    if (op.infer.length > 0 && op !== (constant(0).op as Op)) expect(op.samples?.length, 'samples').toBeGreaterThan(0);
  });

  if (op.samples) {
    test('its samples, forward and backward', async () => checkOp(await sharedGpu(), op, op.samples!, freshSeed()));
  }

  for (const variant of op.variants ?? []) {
    test(`some of its samples by ${variant.name}`, async () =>
      checkOp(await sharedGpu(), op, op.samples!, freshSeed(), { variant, most: TRIED }));
  }

  if (op.random) {
    test('random shapes, forward and backward', async () => {
      const gpu = await sharedGpu();
      const cases = fc
        .gen()
        .map((generate) =>
          Array.from({ length: 3 }, () => op.random!((min, max) => generate(fc.integer, { min, max }))),
        );
      const property = fc.asyncProperty(cases, fc.nat(), (samples, seed) => checkOp(gpu, op, samples, seed));
      await fc.assert(property, { numRuns: 3 });
    });
  }
});
