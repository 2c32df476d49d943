// Every op of the registry, forward against its float64 reference and backward against central differences of it,
// over its samples and over random shapes. An op that is added is tested by being added.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { variantsOf } from '../src/ops/kernels_all.ts';
import { ops } from '../src/ops/registry.ts';
import { constant, inputOp, variableOp } from '../src/ops/source.ts';
import { type Op, resultOp, type Sample } from '../src/ops/tensor.ts';
import { type CheckOptions, checkOp } from '../src/testing/check_op.ts';
import { checkOf } from '../src/testing/samples.ts';
import { sharedGpu } from './numbers.ts';
import { sampled } from './sampled.ts';

/** Inputs, variables and results of others compute nothing; constants have no inputs to sample. */
const SOURCES = new Set<unknown>([inputOp, variableOp, resultOp]);

/** Samples of an op, others each time: matmul has three times as many. */
const SAMPLES = ALL_TESTS ? Infinity : 10;
/** Samples that a variant is tried on, others each time: every one is a shader to compile, for seconds on a CPU. */
const TRIED = ALL_TESTS ? Infinity : 1;
/** Rounds of three random shapes. */
const ROUNDS = ALL_TESTS ? 10 : 1;

/** Ops that are tried on random shapes in this run. */
const someOps = ops.filter((op) => checkOf(op).random);
const shaped = new Set(sampled(someOps, Math.ceil(someOps.length / 2)));

async function check(op: Op, samples: readonly Sample[], options?: CheckOptions): Promise<void> {
  const { skipped } = await checkOp(await sharedGpu(), op, samples, options);
  if (skipped) console.warn(`NOT TESTED: ${skipped}`);
}

test('every op that a file of src/ops/ exports is in the registry', () => {
  const modules = import.meta.glob<Record<string, unknown>>('../src/ops/*.ts', { eager: true });
  const exported = Object.values(modules).flatMap((module) =>
    Object.entries(module).filter(([name, op]) => /Op$/.test(name) && typeof op === 'object'),
  );
  expect(exported.length).toBeGreaterThan(20);
  for (const [name, op] of exported) expect(ops, `${name} belongs into src/ops/registry.ts`).toContain(op);
});

describe.each(ops.filter((op) => !SOURCES.has(op)).map((op) => [op.name, op] as const))('%s', (_, op) => {
  test('says all that an op must say', () => {
    const ways = [op.emit, op.variants, op.decompose].filter(Boolean);
    expect(ways, 'exactly one of emit, variants and decompose').toHaveLength(1);
    const { reference, samples } = checkOf(op);
    expect(reference, 'a float64 reference').toBeDefined();
    if (op.infer.length > 0 && op !== (constant(0).op as Op)) expect(samples?.length, 'samples').toBeGreaterThan(0);
  });

  const { samples, random } = checkOf(op);

  if (samples) {
    test('its samples, forward and backward', () => check(op, samples, { most: SAMPLES }));
  }

  // Where there is but one, all samples were by it. On lavapipe each is tried each time (lavapipe.dawn).
  const variants = variantsOf(op);
  for (const variant of variants.length > 1 ? sampled(variants, Math.ceil(variants.length / 3)) : []) {
    test(`some of its samples by ${variant.name}`, () => check(op, samples!, { variant, most: TRIED }));
  }

  if (random && shaped.has(op)) {
    test('random shapes, forward and backward', async () => {
      const cases = fc
        .gen()
        .map((generate) => Array.from({ length: 3 }, () => random((min, max) => generate(fc.integer, { min, max }))));
      const property = fc.asyncProperty(cases, fc.nat(), (samples, seed) => check(op, samples, { seed }));
      await fc.assert(property, { numRuns: ROUNDS, seed: TEST_SEED });
    });
  }
});
