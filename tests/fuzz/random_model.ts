// Random models: modules of random depth and widths (equal ones, too), modules and parameters that are shared, parameters that
// nothing uses, running statistics, and an optimizer with random options.
import type { Graph } from '../../src/graph/graph.ts';
import { Conv2d, ConvTranspose2d } from '../../src/nn/conv.ts';
import { GELU, type Layer, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, SiLU, Tanh } from '../../src/nn/layers.ts';
import { Module, Parameter, Parameters } from '../../src/nn/module.ts';
import { BatchNorm2d, GroupNorm, LayerNorm } from '../../src/nn/norm.ts';
import { Adam, AdamW, type Optimizer, SGD } from '../../src/nn/optimizers.ts';
import { cosineSchedule, inverseTimeSchedule, warmup } from '../../src/nn/schedules.ts';
import { inTraining } from '../../src/nn/training.ts';
import { crossEntropy } from '../../src/ops/cross_entropy.ts';
import { add, modulo, mul, square, sub } from '../../src/ops/elementwise.ts';
import { randomKey } from '../../src/ops/random.ts';
import { mean } from '../../src/ops/reduce.ts';
import { input } from '../../src/ops/source.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import { reshape } from '../../src/ops/view.ts';
import { Picker, type Recipe } from './picker.ts';
import type { Case } from './random_graph.ts';

const activations = [
  () => new ReLU(),
  () => new Tanh(),
  () => new SiLU(),
  () => new GELU(),
  () => new Sigmoid(),
  () => new LeakyReLU(0.125),
];

/** Layers, some of them twice, and what nothing uses. */
class RandomModel extends Module {
  readonly layers: Sequential;
  readonly spare: unknown[];

  constructor(layers: readonly Layer[], spare: unknown[]) {
    super();
    this.layers = new Sequential(...layers);
    this.spare = spare;
  }
}

function perceptron(p: Picker, depth: number): { layers: Layer[]; shape: number[] } {
  // As often as not, all layers are as wide.
  const width = p.pick([4, 8, 3, 5, 16]);
  const equal = p.chance(2);
  const first = equal ? width : p.between(1, 12);
  let wide = first;
  const layers: Layer[] = [];
  for (let i = 0; i < depth; i++) {
    const before = layers.find(
      (layer) => layer instanceof Linear && layer.weight.shape[0] === wide && layer.weight.shape[1] === wide,
    );
    const next = equal ? width : p.pick([3, 4, 8, 1, 7, 12]);
    if (before && p.chance(4)) layers.push(before);
    else {
      layers.push(new Linear(wide, next, { bias: !p.chance(4) }));
      wide = next;
    }
    if (p.chance(2)) layers.push(p.pick(activations)());
    if (wide > 1 && p.chance(4)) layers.push(new LayerNorm(wide));
  }
  return { layers, shape: [p.between(2, 9), first] };
}

function convolutional(p: Picker, depth: number): { layers: Layer[]; shape: number[] } {
  let channels = p.pick([1, 2, 3, 4]);
  const shape = [p.between(2, 4), channels, 6, 6];
  const layers: Layer[] = [];
  for (let i = 0; i < Math.min(depth, 5); i++) {
    const next = p.pick([4, 2, 6]);
    const options = { padding: 1, bias: !p.chance(3) };
    layers.push(p.chance(3) ? new ConvTranspose2d(channels, next, 3, options) : new Conv2d(channels, next, 3, options));
    channels = next;
    const norms = [
      () => [],
      () => [],
      () => [new BatchNorm2d(channels, { momentum: 0.25, affine: !p.chance(3) })],
      () => [new GroupNorm(2, channels)],
    ];
    layers.push(...p.pick(norms)());
    if (p.chance(2)) layers.push(p.pick(activations)());
  }
  return { layers, shape };
}

function optimizerOf(p: Picker, parameters: Parameters): Optimizer {
  const lr = p.pick([
    0.05,
    cosineSchedule({ lr: 0.05, steps: 3 }),
    warmup(2, inverseTimeSchedule({ lr: 0.05, steps: 2 })),
  ]);
  const options = {
    lr,
    ...(p.chance(2) && { weightDecay: 0.125 }),
    ...(p.chance(3) && { maxNorm: 0.5 }),
    ...(p.chance(4) && { lossScale: 64 }),
  };
  // Adam divides by the root of a square: where a gradient is 0 within rounding, a large ε keeps the step small.
  const adam = { ...options, eps: 0.05, ...(p.chance(3) && { betas: [0.5, 0.75] as const }) };
  const momentum = { ...options, momentum: 0.75 };
  return p.pick([
    () => new SGD(parameters, options),
    () => new SGD(parameters, { ...momentum, nesterov: p.chance(2) }),
    () => new Adam(parameters, adam),
    () => new AdamW(parameters, adam),
  ])();
}

function lossOf(p: Picker, y: Tensor, labels: Tensor): Tensor {
  const rows = reshape(y, [y.shape[0]!, y.size / y.shape[0]!]);
  const squares = mean(square(sub(rows, 0.25)));
  const entropy = () => mean(crossEntropy(rows, modulo(labels, rows.shape[1]!)));
  return p.pick([() => squares, entropy, () => add(squares, mul(entropy(), 0.5))])();
}

/** The training step of a random model. */
export function buildModel({ sources, steps, ends }: Recipe): Case {
  const p = new Picker(ends);
  const depth = steps.length;
  const { layers, shape } = p.chance(3) ? convolutional(p, depth) : perceptron(p, depth);
  const spare = p.chance(3)
    ? [new Parameter([p.between(1, 90)], (dims) => new Float32Array(dims[0]!).fill(0.5)), new Linear(3, 3)]
    : [];
  const model = new RandomModel(layers, spare);
  const parameters = new Parameters(model, sources.length);
  const optimizer = optimizerOf(new Picker(steps[0]!), parameters);
  const x = input('x', shape);
  const labels = input('labels', [shape[0]!], 'u32');
  const key = randomKey(3, optimizer.step.tensor);
  const { value: loss, updates } = inTraining(key, () =>
    lossOf(new Picker(ends.slice(30)), model.layers.forward(x), labels),
  );
  const step = optimizer.minimize(loss, updates);
  const data = Float32Array.from({ length: x.size }, (_, i) => Math.fround(Math.sin(1 + i * i * 0.7) * 1.5));
  const classes = Uint32Array.from({ length: shape[0]! }, (_, i) => i * 7 + 3);
  const graph: Graph = {
    outputs: { loss, norm: step.gradientNorm, finite: step.finite },
    updates: step.updates,
  };
  return {
    graph,
    inputs: graphReads(graph, labels) ? { x: data, labels: classes } : { x: data },
    numbers: { x: data, labels: classes },
    variables: [
      parameters.flat,
      optimizer.step,
      ...Object.values(optimizer.state),
      ...updates.map(({ variable }) => variable),
    ],
    toBuffers: p.chance(2) ? ['norm'] : [],
    runs: 2,
    // Three steps in all, one of them alone.
    stepsInARun: p.pick([1, 2]),
  };
}

function graphReads({ outputs, updates }: Graph, wanted: Tensor): boolean {
  const seen = new Set<Tensor>();
  const stack = [...Object.values(outputs), ...updates.map(({ value }) => value)];
  while (stack.length) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    if (node === wanted) return true;
    seen.add(node);
    stack.push(...node.inputs);
  }
  return false;
}
