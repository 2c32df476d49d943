// The tuner, with variants that are wrong on purpose. Unverified variants have validation.dawn.test.ts.
import { beforeEach, describe, expect, test } from 'vitest';
import type { Gpu } from '../src/gpu/gpu.ts';
import { relu } from '../src/ops/elementwise.ts';
import { type MatmulAttrs, matmulOp } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { apply, type Op, type Variant } from '../src/ops/tensor.ts';
import { compile } from '../src/runtime/compile.ts';
import { type TuneResult, tune, tuneKey } from '../src/runtime/tune.ts';
import { type TuneStore, tuneStore } from '../src/runtime/tune_store.ts';
import { sharedGpu } from './numbers.ts';

let gpu: Gpu;

beforeEach(async () => {
  gpu = await sharedGpu();
});

function memory(): TuneStore & { values: Map<string, string> } {
  const values = new Map<string, string>();
  return {
    values,
    get: async (key) => values.get(key),
    set: async (key, value) => void values.set(key, value),
  };
}

const plain = matmulOp.variants!.at(-1)!;

/** A product that leaves out the last four of its terms. */
const wrong: Variant<MatmulAttrs> = {
  name: 'wrong',
  kernel(node, writer) {
    const kernel = plain.kernel(node, writer);
    return { ...kernel, constants: { ...kernel.constants, K: Number(kernel.constants.K) - 4 } };
  },
};

function productWith(variants: readonly Variant<MatmulAttrs>[]): Op<MatmulAttrs> {
  return { ...matmulOp, variants };
}

const attrs = { transposeA: false, transposeB: false };

/** Three variants alone, of which one is not possible for these sizes: each is a shader to compile. */
const few = productWith([
  matmulOp.variants!.find(({ name }) => name.startsWith('matrix by vectors'))!,
  matmulOp.variants!.find(({ name }) => name === 'register tile 4×4')!,
  plain,
]);

const graph = () => {
  const hidden = relu(apply(few, [input('a', [32, 48]), input('b', [48, 64])], attrs));
  return { outputs: { y: apply(few, [hidden, input('c', [40, 64])], { ...attrs, transposeB: true }) } };
};

describe('the tuner', () => {
  test('times every variant that is possible, and a second start measures nothing', async () => {
    const store = memory();
    const told: TuneResult[] = [];
    const first = await tune(gpu, graph(), { store, onResult: (result) => told.push(result) });
    expect(first.results).toHaveLength(2);
    expect(told).toEqual(first.results);
    for (const { candidates, winner } of first.results) {
      const timed = candidates.filter(({ ms }) => ms !== undefined);
      expect(timed.map(({ name }) => name)).toEqual(['register tile 4×4', plain.name]);
      expect(winner).toBe(timed.reduce((best, one) => (one.ms! < best.ms! ? one : best)).name);
    }
    const second = await tune(gpu, graph(), { store });
    expect(second.results.map(({ candidates }) => candidates.length)).toEqual([0, 0]);
    expect(second.results.map(({ winner }) => winner)).toEqual(first.results.map(({ winner }) => winner));
    const again = await tune(gpu, graph(), { store, again: true });
    expect(again.results.every(({ candidates }) => candidates.length > 1)).toBe(true);
  });

  test('what is remembered counts for this adapter, browser and version alone, and is what gets compiled', async () => {
    const store = memory();
    await tune(gpu, graph(), { store });
    const [[key, value]] = [...store.values] as [[string, string]];
    expect(key).toBe(tuneKey(gpu));
    expect(key).toMatch(/^glia \d+\.\d+\.\d+ \| .*\| (Chrome|HeadlessChrome)/);
    const signatures = Object.keys(JSON.parse(value));
    await store.set(key, JSON.stringify(Object.fromEntries(signatures.map((signature) => [signature, plain.name]))));
    using program = await compile(gpu, graph(), { tune: { store } });
    expect(program.dispatches.map(({ kernel }) => kernel.variant)).toEqual([plain.name, plain.name]);
  });

  test('a variant whose result is wrong never wins, however fast', async () => {
    const op = productWith([wrong, plain as Variant<MatmulAttrs>]);
    const y = apply(op, [input('a', [8, 16]), input('b', [16, 8])], attrs);
    const { results } = await tune(gpu, { outputs: { y } }, { store: memory() });
    expect(results[0]!.candidates[0]).toMatchObject({ name: 'wrong', ms: undefined, problem: 'its result is wrong' });
    expect(results[0]!.winner).toBe(plain.name);
  });

  test('two ops of one name are tuned each for itself', async () => {
    const bad = productWith([wrong, plain as Variant<MatmulAttrs>]);
    const good = productWith([{ ...(plain as Variant<MatmulAttrs>), name: 'wrong' }, plain as Variant<MatmulAttrs>]);
    const inputs = [input('a', [8, 16]), input('b', [16, 8])];
    const description = { outputs: { y: apply(bad, inputs, attrs), z: apply(good, inputs, attrs) } };
    const { results, choose } = await tune(gpu, description, { store: memory() });
    expect(results).toHaveLength(2);
    // The same name for what is wrong in one and right in the other: only there it may have won.
    expect(choose(description.outputs.y, bad.variants!)).toBe(plain);
    const [timed] = results[1]!.candidates;
    expect(timed).toMatchObject({ name: 'wrong' });
    expect(timed!.ms).toBeDefined();
  });

  test('a page remembers in IndexedDB', async () => {
    const key = `test ${Math.random()}`;
    expect(await tuneStore().get(key)).toBeUndefined();
    await tuneStore().set(key, 'value');
    expect(await tuneStore().get(key)).toBe('value');
  });
});
