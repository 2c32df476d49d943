// An app that has nothing but the published package: an op of its own with two results and a kernel by hand, a model that
// trains with it, and a model and data of its own in the trainer. Run by consumer.node.test.ts.
import {
  Adam,
  add,
  apply,
  applyAll,
  compile,
  defineOp,
  div,
  Gpu,
  gradients,
  input,
  type KernelSpec,
  Linear,
  Module,
  mean,
  mul,
  Parameters,
  ReLU,
  readVariable,
  reshape,
  Sequential,
  SGD,
  ShaderError,
  square,
  sub,
  sum,
  type Tensor,
} from 'glia';
import type { VAE } from 'glia/models';
import type { Profile, profileProgram } from 'glia/profiler';
import { checkOp } from 'glia/testing';
import { decodeCheckpoint, type TensorDataset, Trainer, type TrainerOptions } from 'glia/train';
import type { Conv2d } from 'glia/vision';

const kernel: KernelSpec = {
  wgsl: `
    const ROWS: u32 = 1;
    const LENGTH: u32 = 4;
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> norm: array<f32>;
    @group(0) @binding(2) var<storage, read_write> unit: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x >= ROWS) { return; }
      var total = 0.0;
      for (var i = id.x * LENGTH; i < (id.x + 1) * LENGTH; i++) { total += x[i] * x[i]; }
      norm[id.x] = sqrt(total);
      for (var i = id.x * LENGTH; i < (id.x + 1) * LENGTH; i++) { unit[i] = x[i] / norm[id.x]; }
    }`,
  inputs: ['x'],
  outputs: ['norm', 'unit'],
  constants: ({ inputs: [x] }) => ({ ROWS: x!.shape[0]!, LENGTH: x!.shape[1]! }),
  workgroups: ({ inputs: [x] }) => Math.ceil(x!.shape[0]! / 64),
};

/** The norm of each row, and the row divided by it. */
const spec = {
  name: 'rowNorm',
  infer: ([x]: readonly Tensor[]) => [
    { shape: [x!.shape[0]!], dtype: 'f32' as const },
    { shape: x!.shape, dtype: 'f32' as const },
  ],
  kernel,
  grad({ all: [norm, unit], inputs: [x] }: Tensor<object>, gNorm: Tensor, gUnit: Tensor) {
    const column = (t: Tensor) => reshape(t, [x!.shape[0]!, 1]);
    const along = sum(mul(gUnit, unit!), { axis: 1, keepDims: true });
    return [add(mul(column(gNorm), unit!), div(sub(gUnit, mul(unit!, along)), column(norm!)))];
  },
};
const rowNorm = defineOp(spec);

/** In float64, [rows, length]. */
function reference(data: Float64Array, length: number): Float64Array[] {
  const norm = Float64Array.from({ length: data.length / length }, (_, i) =>
    Math.hypot(...data.subarray(i * length, (i + 1) * length)),
  );
  return [norm, data.map((value, i) => value / norm[Math.floor(i / length)]!)];
}

class Directions extends Module {
  readonly hidden = new Linear(3, 16);
  readonly out = new Linear(16, 1);
  forward(x: Tensor): Tensor {
    const [norm, unit] = applyAll(rowNorm, [this.hidden.forward(x)], {});
    return add(this.out.forward(unit!), reshape(norm!, [x.shape[0]!, 1]));
  }
}

const COUNT = 64;
const x = Float32Array.from({ length: COUNT * 3 }, (_, i) => Math.sin(7 * i));
const y = Float32Array.from({ length: COUNT }, (_, i) => Math.sin(x[3 * i]! + x[3 * i + 1]!));

/** Losses of a model with the op, step by step. */
async function learn(gpu: Gpu): Promise<number[]> {
  const model = new Directions();
  const adam = new Adam(new Parameters(model), { lr: 0.01 });
  const loss = mean(square(sub(model.forward(input('x', [COUNT, 3])), input('y', [COUNT, 1]))));
  const program = await compile(gpu, { outputs: { loss }, ...adam.minimize(loss) });
  const losses: number[] = [];
  for (let i = 0; i < 100; i++) {
    program.run({ x, y });
    losses.push((await program.read('loss'))[0]!);
  }
  program.destroy();
  return losses;
}

/** A run with the app's own model and data: to its end, and to its end after a stop. */
async function resume(gpu: Gpu) {
  const data: TensorDataset<'x' | 'y'> = {
    name: 'mine',
    train: {
      count: COUNT,
      tensors: { x: { dtype: 'f32', shape: [3], data: x }, y: { dtype: 'f32', shape: [1], data: y } },
    },
  };
  const run = async (more: Partial<TrainerOptions<'x' | 'y'>>, until = Number.POSITIVE_INFINITY) => {
    const model = new Sequential(new Linear(3, 20), new ReLU(), new Linear(20, 1));
    const trainer = await Trainer.create(gpu, {
      model,
      data,
      loss: (batch) => sum(square(sub(model.forward(batch.x), batch.y)), { axis: 1 }),
      optimizer: new SGD(new Parameters(model, 4), { lr: 0.05, momentum: 0.9 }),
      ...{ batch: 10, epochs: 4, seed: 2 },
      ...more,
    });
    for await (const event of trainer.train()) if (event.event === 'step' && event.step >= until) break;
    const checkpoint = await trainer.checkpoint();
    return { checkpoint, weights: [...((await readVariable(gpu, trainer.parameters.flat)) as Float32Array)] };
  };
  const whole = await run({});
  const stopped = await run({}, 9);
  const resumed = await run({ checkpoint: decodeCheckpoint(stopped.checkpoint, 'mine') });
  return { whole: whole.weights, stopped: stopped.weights, resumed: resumed.weights };
}

/** What the app is told of ops that lie. */
async function lies(gpu: Gpu): Promise<Record<string, string>> {
  const at = input('x', [3, 4]);
  const told = async (make: () => unknown) => {
    try {
      await make();
      return 'nothing';
    } catch (error) {
      return `${error instanceof ShaderError ? 'ShaderError: ' : ''}${(error as Error).message}`;
    }
  };
  const compiled = async (more: Partial<KernelSpec>) => {
    const op = defineOp({ ...spec, kernel: { ...kernel, ...more } });
    await compile(gpu, { outputs: { norm: applyAll(op, [at], {}, 'net.0')[0]! } });
  };
  return {
    missing: await told(() => compiled({ outputs: ['norm', 'unit', 'rest'] })),
    count: await told(() =>
      applyAll(defineOp({ ...spec, infer: () => ({ shape: [3], dtype: 'f32' as const }) }), [at], {}),
    ),
    wgsl: await told(() => compiled({ wgsl: kernel.wgsl.replace('sqrt(total)', 'sqroot(total)') })),
    shape: await told(() => {
      const short = () => [
        { shape: [3], dtype: 'f32' as const },
        { shape: [3, 2], dtype: 'f32' as const },
      ];
      const check = { reference: ([v]: readonly { data: Float64Array }[]) => reference(v!.data, 4), samples: square4 };
      return checkOp(gpu, defineOp({ ...spec, infer: short, check }));
    }),
    cotangent: await told(() => {
      const flat = (_: Tensor<object>, _norm: Tensor, gUnit: Tensor) => [reshape(gUnit, [12])];
      return gradients(sum(applyAll(defineOp({ ...spec, grad: flat }), [at], {}, 'net.1')[1]!), [at]);
    }),
  };
}

/** Twice or three times the input: by a fast kernel that is wrong for three, and by one that is right. */
const scaled = (factor: string, more: Partial<KernelSpec<{ by: number }>>): KernelSpec<{ by: number }> => ({
  wgsl: `
    const BY: f32 = 1.0;
    const SIZE: u32 = 4;
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < SIZE) { y[id.x] = ${factor} * x[id.x]; }
    }`,
  inputs: ['x'],
  outputs: ['y'],
  constants: ({ inputs: [x], attrs: { by } }) => ({ SIZE: x!.size, BY: by }),
  workgroups: ({ inputs: [x] }) => Math.ceil(x!.size / 64),
  ...more,
});
const scale = defineOp<{ by: number }>({
  name: 'scale',
  infer: ([x]) => ({ shape: x!.shape, dtype: 'f32' }),
  kernel: [scaled('min(BY, 2.0)', { name: 'fast', unverified: true }), scaled('BY', { name: 'plain' })],
});

/** What becomes of the fast kernel, in a program that uses it both ways. */
async function validated(gpu: Gpu) {
  const at = input('x', [100]);
  const program = await compile(gpu, {
    outputs: { two: apply(scale, [at], { by: 2 }), three: apply(scale, [at], { by: 3 }) },
  });
  program.run({ x: new Float32Array(100).fill(5) });
  const result = {
    two: (await program.read('two'))[99],
    three: (await program.read('three'))[99],
    kernels: program.dispatches.map(({ kernel }) => kernel.variant),
    warnings: program.warnings,
  };
  program.destroy();
  return result;
}

const square4 = [{ inputs: [{ shape: [3, 4], min: 0.5, max: 2 }], attrs: {} }];
const samples = [
  { inputs: [{ shape: [3, 5], min: 0.5, max: 2 }], attrs: {} },
  { inputs: [{ shape: [65, 4], min: 0.5, max: 2 }], attrs: {} },
];

export async function main(webgpu: GPU) {
  const gpu = await Gpu.request({ gpu: webgpu });
  const checked = defineOp({
    ...spec,
    check: { reference: ([value]) => reference(value!.data, value!.shape[1]!), samples },
  });
  const report = await checkOp(gpu, checked);
  const result = {
    report,
    losses: await learn(gpu),
    ...(await resume(gpu)),
    lies: await lies(gpu),
    validated: await validated(gpu),
  };
  gpu.destroy();
  return result;
}

/** The other entries, for their types alone. */
export type Rest = [typeof VAE, typeof Conv2d, typeof profileProgram, Profile];
