// Training in jax-js: backends, arrays, and a jitted step of AdamW for any loss.
// jax-js frees an array when its last reference is used, hence every `.ref`.
import { blockUntilReady, type Device, init, jit, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import type { NdArray } from './arrays.ts';
import type { Prepared } from './workloads.ts';

export type Arrays = { [name: string]: np.Array };

/** Starts one backend, or says that it is not to be had. */
export async function startJax(device: Device): Promise<void> {
  const devices = await init(device);
  if (!devices.includes(device)) throw new Error(`jax-js has no ${device} backend here`);
}

export function toArray(data: Float32Array, shape: readonly number[], device: Device): np.Array {
  return np.array(data as Float32Array<ArrayBuffer>, { shape: [...shape], device });
}

export function toIntegers(data: Int32Array, shape: readonly number[], device: Device): np.Array {
  return np.array(data as Int32Array<ArrayBuffer>, { shape: [...shape], dtype: np.int32, device });
}

export function toArrays(weights: ReadonlyMap<string, NdArray>, device: Device): Arrays {
  return Object.fromEntries([...weights].map(([name, { data, shape }]) => [name, toArray(data, shape, device)]));
}

/** A loss of parameters and the arrays of a batch, all of which it consumes. */
export type Loss = (p: Arrays, ...batch: np.Array[]) => np.Array;

export interface JaxOptimizer {
  readonly lr: number;
  readonly beta2?: number;
  /** Of matrices; none by default. */
  readonly weightDecay?: number;
  /** A longer gradient is scaled down to this norm; of any length by default. */
  readonly maxNorm?: number;
}

const BETA1 = 0.9;

/** One jitted step: parameters, both moments, the step (f32, from 1), and the batch → the same, and the loss. */
function trainStep(lossOf: Loss, { lr, beta2 = 0.999, weightDecay = 0, maxNorm }: JaxOptimizer) {
  const lossAndGradients = valueAndGrad(lossOf);
  return jit((p: Arrays, m: Arrays, v: Arrays, t: np.Array, ...batch: np.Array[]) => {
    const [loss, gradients] = lossAndGradients(tree.ref(p), ...batch) as [np.Array, Arrays];
    const g = maxNorm === undefined ? gradients : clip(gradients, maxNorm);
    const correction1 = np.array(1).sub(np.exp(t.ref.mul(Math.log(BETA1))));
    const correction2 = np.array(1).sub(np.exp(t.ref.mul(Math.log(beta2))));
    const next = { p: {} as Arrays, m: {} as Arrays, v: {} as Arrays };
    for (const name of Object.keys(p)) {
      const mean = m[name]!.mul(BETA1).add(g[name]!.ref.mul(1 - BETA1));
      const square = v[name]!.mul(beta2).add(np.square(g[name]!).mul(1 - beta2));
      next.m[name] = mean.ref;
      next.v[name] = square.ref;
      const denominator = np.sqrt(square.div(correction2.ref)).add(1e-8);
      const decayed = weightDecay && p[name]!.ndim > 1 ? p[name]!.mul(1 - lr * weightDecay) : p[name]!;
      next.p[name] = decayed.sub(mean.div(correction1.ref).mul(lr).div(denominator));
    }
    correction1.dispose();
    correction2.dispose();
    return { ...next, t: t.add(1), loss };
  });
}

function clip(g: Arrays, maxNorm: number): Arrays {
  const squares = Object.values(g).map((x) => np.square(x.ref).sum());
  const norm = np.sqrt(squares.reduce((a, b) => a.add(b)));
  const scale = np.minimum(np.array(maxNorm).div(norm.add(1e-6)), 1);
  const scaled = Object.fromEntries(Object.entries(g).map(([name, x]) => [name, x.mul(scale.ref)]));
  scale.dispose();
  return scaled;
}

export interface JaxTraining {
  readonly loss: Loss;
  readonly optimizer: JaxOptimizer;
  readonly weights: ReadonlyMap<string, NdArray>;
  /** They come in turns. */
  readonly batches: readonly (readonly np.Array[])[];
  readonly device: Device;
}

export async function prepareTraining({ loss, optimizer, weights, batches, device }: JaxTraining): Promise<Prepared> {
  const zeros = new Map([...weights].map(([name, { shape, data }]) => [name, { shape, data: data.map(() => 0) }]));
  const f = trainStep(loss, optimizer);
  let state = {
    p: toArrays(weights, device),
    m: toArrays(zeros, device),
    v: toArrays(zeros, device),
    t: np.array(1, { device }),
  };
  let steps = 0;
  const step = () => {
    const batch = batches[steps++ % batches.length]!;
    const { loss, ...next } = f(state.p, state.m, state.v, state.t, ...batch.map((x) => x.ref));
    state = next as typeof state;
    return loss as np.Array;
  };
  return {
    once: async () => ({ values: (await step().data()) as Float32Array }),
    async run(repeats) {
      // jax-js advises to wait at every step: the work of more would keep its memory, and take no less time.
      for (let i = 0; i < repeats; i++) {
        const loss = step();
        await loss.blockUntilReady();
        loss.dispose();
      }
      await blockUntilReady(state);
    },
    destroy() {
      tree.dispose([state, batches]);
      f.dispose();
    },
  };
}
