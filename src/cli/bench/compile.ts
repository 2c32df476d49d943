// `npm run bench -- --compile`: how long it takes from traced graphs to specialised WGSL, in Node without a device.
import { strokeDigits } from '../../data/digits.ts';
import { textFromString } from '../../data/text.ts';
import { type Graph, rootsOf, topological } from '../../graph/graph.ts';
import { kernelsOf, planGraph } from '../../graph/plan.ts';
import { Linear, ReLU, Sequential } from '../../nn/layers.ts';
import { Parameters } from '../../nn/module.ts';
import { Adam } from '../../nn/optimizers.ts';
import { inTraining } from '../../nn/training.ts';
import { mul } from '../../ops/elementwise.ts';
import { mean } from '../../ops/reduce.ts';
import { input, Variable } from '../../ops/source.ts';
import { type AdapterTraits, DEFAULT_LIMITS } from '../../ops/tensor.ts';
import { completeOptions, type GivenOptions } from '../../train/options.ts';
import { createModel, createTextModel } from '../../train/registry/registry.ts';
import { textOptimizer } from '../../train/registry/text_entry.ts';

/** The layers of the perceptrons. */
export const DEPTHS = [10, 20, 40, 80, 160] as const;

/** What is compiled for: an adapter on the CPU as Chrome describes it. */
const ADAPTER: AdapterTraits = {
  software: true,
  subgroupSize: 4,
  f16: false,
  limits: { ...DEFAULT_LIMITS, maxStorageBuffersPerShaderStage: 10 },
};

export interface CompileRow {
  readonly name: string;
  /** Of the graph as it was traced. */
  readonly nodes: number;
  readonly dispatches: number;
  /** The least of several runs. */
  readonly ms: number;
  /** The same of the processor's time: beside other work on the machine, this is the one to compare. */
  readonly cpuMs: number;
}

/** The training step of a perceptron of equal layers: Linear(64, 64) and ReLU, a batch of 32, Adam. */
export function perceptronStep(layers: number): Graph {
  const model = new Sequential(...Array.from({ length: layers }, () => [new Linear(64, 64), new ReLU()]).flat());
  const y = model.forward(input('x', [32, 64]));
  const loss = mean(mul(y, y));
  return { outputs: { loss }, updates: new Adam(new Parameters(model)).minimize(loss).updates };
}

/** The training step of the default VAE, of a batch that is given. */
export function vaeStep(): Graph {
  const options = completeOptions({ model: 'vae' });
  const model = createModel(strokeDigits({ train: 1, test: 1 }), options);
  const adam = new Adam(new Parameters(model));
  const counter = adam.step.tensor;
  const key = { key: new Variable('key', [2], { dtype: 'u32' }).tensor, counter, stream: 1 };
  const batch = { images: input('images', [options.batch, 784]), labels: input('labels', [options.batch], 'u32') };
  const { value: terms, updates } = inTraining(key, () => model.terms(batch, key, counter));
  const step = adam.minimize(mean(terms.loss));
  const outputs = Object.fromEntries(Object.entries(terms).map(([term, values]) => [term, mean(values)]));
  return { outputs, updates: [...step.updates, ...updates] };
}

/** The training step of `gpt` with so many blocks: 12 windows of 64 characters. */
export const gptStep = (layers: number): Promise<Graph> => textStep({ model: 'gpt', layers });

/** The training step of `text-vae`, of 65 characters. */
export const textVaeStep = (): Promise<Graph> => textStep({ model: 'text-vae' });

async function textStep(given: GivenOptions): Promise<Graph> {
  const letters = Array.from({ length: 65 }, (_, i) => String.fromCharCode(48 + i)).join('');
  const options = completeOptions(given);
  const { entry, model } = createTextModel(await textFromString('letters', letters), options);
  const adam = textOptimizer(new Parameters(model), options as never, 100);
  const counter = adam.step.tensor;
  const key = { key: new Variable('key', [2], { dtype: 'u32' }).tensor, counter, stream: 1 };
  const tokens = input('tokens', [options.batch, Number(options.context) + 1], 'u32');
  const { value: loss, updates } = inTraining(key, () => mean(entry.loss(model, tokens, { key, step: counter }).loss!));
  return { outputs: { loss }, updates: [...adam.minimize(loss).updates, ...updates] };
}

/** Compiles each of several graphs in turns, as many times as there are rounds. */
export function measureCompiling(graphs: Readonly<Record<string, Graph>>, rounds: number): CompileRow[] {
  const compile = (graph: Graph) => [...kernelsOf(planGraph(graph, ADAPTER))].length;
  const rows = Object.entries(graphs).map(([name, graph]) => {
    const nodes = topological(rootsOf(graph)).length;
    return { name, graph, nodes, dispatches: compile(graph), ms: Infinity, cpuMs: Infinity };
  });
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const start = performance.now();
      const cpu = process.cpuUsage();
      compile(row.graph);
      const { user, system } = process.cpuUsage(cpu);
      row.ms = Math.min(row.ms, performance.now() - start);
      row.cpuMs = Math.min(row.cpuMs, (user + system) / 1000);
    }
  }
  return rows.map(({ graph, ...row }) => row);
}

/** Prints the table: each depth beside the one of half as many layers. */
export async function benchCompiling(rounds: number): Promise<void> {
  const graphs = Object.fromEntries(DEPTHS.map((depth) => [`${depth} layers`, perceptronStep(depth)]));
  const rows = measureCompiling({ ...graphs, 'default VAE': vaeStep(), 'gpt of 12': await gptStep(12) }, rounds);
  const cells = rows.map(({ name, nodes, dispatches, ms, cpuMs }, i) => {
    const isDoubled = i > 0 && i < DEPTHS.length;
    return [
      name,
      `${nodes}`,
      `${dispatches}`,
      ...[ms, cpuMs].map((time) => time.toFixed(0)),
      isDoubled ? (cpuMs / rows[i - 1]!.cpuMs).toFixed(2) : '',
    ];
  });
  console.log(`From traced graph to WGSL, least of ${rounds} runs in turns, Node ${process.version}\n`);
  for (const [name, ...others] of [['', 'nodes', 'dispatches', 'ms', 'ms of CPU', 'per doubling'], ...cells]) {
    console.log(`${name!.padEnd(12)}${others.map((cell) => cell.padStart(15)).join('')}`.trimEnd());
  }
}
