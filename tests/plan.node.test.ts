// From traced graph to WGSL without a device: how many dispatches the models' steps take on described adapters.
import { describe, expect, test } from 'vitest';
import { gptStep, textVaeStep } from '../src/cli/bench/compile.ts';
import { readAdapter } from '../src/cli/profile/adapter.ts';
import type { Dataset } from '../src/data/images.ts';
import type { Graph } from '../src/graph/graph.ts';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { inTraining } from '../src/nn/training.ts';
import { mean } from '../src/ops/reduce.ts';
import { input, Variable } from '../src/ops/source.ts';
import { type AdapterTraits, DEFAULT_LIMITS } from '../src/ops/tensor.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { completeOptions, type GivenOptions } from '../src/train/options.ts';
import { createModel } from '../src/train/registry/registry.ts';

const limits = { ...DEFAULT_LIMITS, maxStorageBuffersPerShaderStage: 10 };
const CPU: AdapterTraits = { software: true, subgroupSize: 4, f16: false, limits };
/** A GPU of sixteen buffers a kernel, and one of ten. */
const [H100, M2] = ['h100', 'm2'].map((name) => traitsOf(readAdapter(name).gpu)) as [AdapterTraits, AdapterTraits];

/** Dispatches of a step with a batch that is given, on the CPU, an H100 and an M2: not to grow. */
const DISPATCHES: Readonly<Record<string, readonly [number, number, number]>> = {
  vae: [26, 12, 13],
  'conv-vae': [70, 44, 43],
  'beta-vae': [28, 12, 13],
  iwae: [38, 16, 17],
  burda: [30, 16, 17],
  'burda-2': [54, 26, 27],
  ladder: [87, 40, 47],
  hvae: [242, 88, 99],
  cvae: [29, 13, 14],
  'vq-vae': [75, 33, 33],
  classifier: [16, 9, 10],
  'conv-classifier': [42, 28, 26],
};

/** Of a model of many steps that are alike, as few as it may have. */
const GIVEN: Readonly<Record<string, GivenOptions>> = { hvae: { layers: 3, width: 16 } };

function stepOf(name: string): Graph {
  const side = { count: 60000, width: 28, height: 28, channels: 1, classes: 10 };
  const data = { name, train: side, test: side } as unknown as Dataset;
  const model = createModel(data, completeOptions({ model: name, ...GIVEN[name] }));
  const adam = new Adam(new Parameters(model), { lr: 1e-3 });
  const counter = adam.step.tensor;
  const key = { key: new Variable('key', [2], { dtype: 'u32' }).tensor, counter, stream: 1 };
  const batch = { images: input('images', [128, 784]), labels: input('labels', [128], 'u32') };
  const { value: terms, updates } = inTraining(key, () => model.terms(batch, key, counter));
  const step = adam.minimize(mean(terms.loss));
  const outputs = Object.fromEntries(Object.entries(terms).map(([term, values]) => [term, mean(values)]));
  return { outputs, updates: [...step.updates, ...updates] };
}

describe('the step of each model', () => {
  test.each(Object.keys(DISPATCHES))('%s takes no more dispatches, each within the limits', (name) => {
    const [cpu, h100, m2] = DISPATCHES[name]!;
    for (const [adapter, most] of [
      [CPU, cpu],
      [H100, h100],
      [M2, m2],
    ] as const) {
      const kernels = [...kernelsOf(planGraph(stepOf(name), adapter))];
      expect(kernels.length).toBeLessThanOrEqual(most);
      for (const { lowered, code } of kernels) {
        expect(lowered.bindings.length).toBeLessThanOrEqual(adapter.limits.maxStorageBuffersPerShaderStage);
        expect(code).toContain('@compute');
      }
    }
  });
});

/** Dispatches of a step of `gpt` with so many blocks, on the CPU and on a GPU: not to grow. */
const OF_LAYERS: Readonly<Record<number, readonly [number, number]>> = { 1: [52, 36], 4: [131, 99] };

describe('the step of gpt', () => {
  test.each(Object.keys(OF_LAYERS).map(Number))('of %i blocks takes no more dispatches', async (layers) => {
    const graph = await gptStep(layers);
    const counts = [CPU, M2].map((adapter) => {
      const plan = planGraph(graph, adapter);
      expect(plan.memory.peak).toBeLessThan(1.25 * plan.memory.lowerBound);
      return [...kernelsOf(plan)].length;
    });
    expect(counts[0]).toBeLessThanOrEqual(OF_LAYERS[layers]![0]);
    expect(counts[1]).toBeLessThanOrEqual(OF_LAYERS[layers]![1]);
  });
});

test('the step of text-vae takes no more dispatches: two for all of time in each of its recurrent units', async () => {
  const graph = await textVaeStep();
  for (const [adapter, most] of [
    [CPU, 62],
    [H100, 28],
    [M2, 29],
  ] as const) {
    const plan = planGraph(graph, adapter);
    if (adapter === CPU) expect(plan.memory.peak).toBeLessThan(1.25 * plan.memory.lowerBound);
    const kernels = [...kernelsOf(plan)];
    expect(kernels.length).toBeLessThanOrEqual(most);
    expect(kernels.filter(({ lowered }) => /gru/.test(lowered.label)).length).toBeLessThanOrEqual(4);
  }
});
