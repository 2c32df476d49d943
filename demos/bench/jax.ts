// The default VAE and its Adam step in jax-js: what Glia is checked and measured against.
// jax-js frees an array when its last reference is used, hence every `.ref`.
import { type Device, init, jit, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';

type Arrays = { [name: string]: np.Array };

/** Starts one backend, or says that it is not to be had. */
export async function startJax(device: Device): Promise<void> {
  const devices = await init(device);
  if (!devices.includes(device)) throw new Error(`jax-js has no ${device} backend here`);
}

export function toArray(data: Float32Array, shape: readonly number[], device: Device): np.Array {
  return np.array(data as Float32Array<ArrayBuffer>, { shape: [...shape], device });
}

const linear = (p: Arrays, name: string, x: np.Array) =>
  np.matmul(x, np.transpose(p[`${name}.weight`]!.ref)).add(p[`${name}.bias`]!.ref);

/** Negative ELBO of the Bernoulli VAE, nats per image; parameters under Glia's names. Consumes what it is given. */
export function vaeLoss(p: Arrays, x: np.Array, noise: np.Array): np.Array {
  const [batch] = x.shape as [number];
  const latent = noise.shape[1]!;
  const code = linear(p, 'encoder.2', nn.relu(linear(p, 'encoder.0', x.ref)));
  const mean = code.ref.slice([], [0, latent]);
  const logvar = code.slice([], [latent]);
  const z = mean.ref.add(np.exp(logvar.ref.mul(0.5)).mul(noise));
  const logits = linear(p, 'decoder.2', nn.relu(linear(p, 'decoder.0', z)));
  const reconstruction = nn.softplus(logits.ref).sub(logits.mul(x)).sum();
  const kl = np.square(mean).add(np.exp(logvar.ref)).sub(logvar).sub(1).sum().mul(0.5);
  tree.dispose(p);
  return reconstruction.add(kl).mul(1 / batch);
}

/** Loss and gradients by name. */
export const vaeLossAndGradients = valueAndGrad(vaeLoss);

const BETA1 = 0.9;
const BETA2 = 0.999;

/** One jitted step of Adam: parameters, both moments, the step (f32, from 1), images, noise → the same, and the loss. */
export function vaeStep(lr: number) {
  return jit((p: Arrays, m: Arrays, v: Arrays, t: np.Array, x: np.Array, noise: np.Array) => {
    const [loss, g] = valueAndGrad(vaeLoss)(tree.ref(p), x, noise) as [np.Array, Arrays];
    const correction1 = np.array(1).sub(np.exp(t.ref.mul(Math.log(BETA1))));
    const correction2 = np.array(1).sub(np.exp(t.ref.mul(Math.log(BETA2))));
    const next = { p: {} as Arrays, m: {} as Arrays, v: {} as Arrays };
    for (const name of Object.keys(p)) {
      const mean = m[name]!.mul(BETA1).add(g[name]!.ref.mul(1 - BETA1));
      const square = v[name]!.mul(BETA2).add(np.square(g[name]!).mul(1 - BETA2));
      next.m[name] = mean.ref;
      next.v[name] = square.ref;
      const denominator = np.sqrt(square.div(correction2.ref)).add(1e-8);
      next.p[name] = p[name]!.sub(mean.div(correction1.ref).mul(lr).div(denominator));
    }
    correction1.dispose();
    correction2.dispose();
    return { ...next, t: t.add(1), loss };
  });
}
