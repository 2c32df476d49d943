// Glia at the bench's work. It needs no page: where `navigator.gpu` is not, it is given a WebGPU implementation.
import {
  Adam,
  compile,
  constant,
  evaluate,
  freeVariables,
  Gpu,
  type GpuOptions,
  Linear,
  matmul,
  mean,
  normal,
  Parameters,
  type Program,
  ReLU,
  Sequential,
  softmax,
  sum,
  type Tensor,
  Variable,
} from '../../src/index.ts';
import { VAE } from '../../src/models/index.ts';
import { GpuDataset } from '../../src/train/dataset.ts';
import {
  type Batch,
  type Engine,
  layersOf,
  type NdArray,
  type Prepared,
  type Task,
  type TrainTask,
} from './workloads.ts';

/** Runs in one submit; a page should not have to wait for more. */
const RUNS_PER_SUBMIT = 50;

export async function createEngine(options?: GpuOptions): Promise<Engine> {
  const gpu = await Gpu.request(options);
  return {
    adapter: gpu.name,
    software: gpu.adapter.software,
    prepare: (task) => (task.kind === 'train' ? prepareStep(gpu, task) : prepareOp(gpu, task)),
  };
}

async function prepareOp(gpu: Gpu, task: Exclude<Task, TrainTask>): Promise<Prepared> {
  const variables: Variable[] = [];
  const onDevice = ({ shape, data }: NdArray): Tensor => {
    const variable = new Variable('x', shape, { init: () => data });
    variables.push(variable);
    return variable.tensor;
  };
  const build = (): Tensor => {
    if (task.kind === 'product') return matmul(onDevice(task.a), onDevice(task.b), task);
    const x = onDevice(task.x);
    if (task.kind === 'softmax') return softmax(x);
    return task.axis === undefined ? sum(x) : sum(x, { axis: task.axis });
  };
  const program = await compile(gpu, { outputs: { result: build() } });
  return {
    once: () => once(program),
    run: (repeats) => run(program, repeats),
    destroy: () => free(program, variables),
  };
}

async function once(program: Program) {
  program.run();
  return { values: await program.read('result') };
}

async function run(program: Program, repeats: number): Promise<void> {
  for (let left = repeats; left > 0; left -= RUNS_PER_SUBMIT) {
    program.run({}, { steps: Math.min(left, RUNS_PER_SUBMIT) });
  }
  await program.gpu.device.queue.onSubmittedWorkDone();
}

function free(program: Program, variables: readonly Variable[]): void {
  program.destroy();
  freeVariables(program.gpu, variables);
}

/** A VAE with any number of hidden layers, and the first weights that the task says. */
class TaskVae extends VAE {
  override readonly encoder: Sequential;
  override readonly decoder: Sequential;

  constructor({ sizes, weights }: TrainTask) {
    super({ pixels: sizes.pixels, latent: sizes.latent });
    const { encoder, decoder } = layersOf(sizes);
    const stack = (layers: typeof encoder) =>
      new Sequential(
        ...layers.flatMap(({ inputs, outputs }, i) => [...(i ? [new ReLU()] : []), new Linear(inputs, outputs)]),
      );
    this.encoder = stack(encoder);
    this.decoder = stack(decoder);
    for (const [name, parameter] of this.namedParameters()) {
      Object.assign(parameter, { init: () => weights.get(name)!.data });
    }
  }
}

/** The whole step as the trainer makes it: it also chooses its batch and draws its noise. */
async function prepareStep(gpu: Gpu, task: TrainTask): Promise<Prepared> {
  const { sizes, batch, lr } = task;
  const images = { images: task.images, count: 2 * batch, height: 1, width: sizes.pixels, channels: 1, classes: 0 };
  const vae = new TaskVae(task);
  const parameters = new Parameters(vae);
  const adam = new Adam(parameters, { lr });
  const key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(1, 2) });
  const data = new GpuDataset(gpu, { name: 'bench', train: images, test: images }, { batch, key });
  const batchOf = (step: Tensor) => ({
    images: data.trainBatch(step).images,
    noise: normal([batch, sizes.latent], { key: key.tensor, counter: step, stream: 1 }),
  });
  const drawn = batchOf(adam.step.tensor);
  const loss = mean(vae.elbo(drawn.images, drawn.noise).loss);
  const program = await compile(gpu, { outputs: { result: loss }, updates: adam.minimize(loss).updates });
  let steps = 0;
  return {
    async once() {
      const step = constant(steps++, 'u32');
      return {
        ...(await once(program)),
        batch: () => evaluate(gpu, batchOf(step)) as Promise<unknown> as Promise<Batch>,
      };
    },
    run(repeats) {
      steps += repeats;
      return run(program, repeats);
    },
    destroy: () => free(program, [parameters.flat, adam.step, ...Object.values(adam.state), key, ...data.variables]),
  };
}
