// The training steps of the models that are trained by name: loss, gradients, Adam, running statistics.
import type { Dataset } from '../../src/data/images.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { Parameters } from '../../src/nn/module.ts';
import { Adam } from '../../src/nn/optimizers.ts';
import { inTraining } from '../../src/nn/training.ts';
import { randomKey } from '../../src/ops/random.ts';
import { mean } from '../../src/ops/reduce.ts';
import { input } from '../../src/ops/source.ts';
import { completeOptions } from '../../src/train/options.ts';
import { createModel, isTextEntry, MODELS } from '../../src/train/registry/registry.ts';

const BATCH = 128;
const DATA = { name: 'digits', train: { height: 28, width: 28, channels: 1, classes: 10 } } as unknown as Dataset;

function stepOf(name: string): Graph {
  const model = createModel(DATA, completeOptions({ model: name }));
  const optimizer = new Adam(new Parameters(model));
  const counter = optimizer.step.tensor;
  const key = randomKey(1, counter);
  const batch = { images: input('images', [BATCH, 28 * 28]), labels: input('labels', [BATCH], 'u32') };
  const { value: terms, updates } = inTraining(key, () => model.terms(batch, key, counter));
  const loss = mean(terms.loss);
  return { outputs: { loss }, updates: [...optimizer.minimize(loss).updates, ...updates] };
}

const imageModels = [...MODELS].flatMap(([name, entry]) => (isTextEntry(entry) ? [] : [name]));

export function modelSteps(): Record<string, () => Graph> {
  return Object.fromEntries(imageModels.map((name) => [name, () => stepOf(name)]));
}
