// The bound of a text VAE in jax-js, step by step of time, which tests check Glia's against. `.ref` is why jax-js does not free an array yet.
import { nn, numpy as np, tree } from '@jax-js/jax';
import type { Loss } from '../src/bench/jax_training.ts';

/**
 * −ELBO a sentence, as a function of the parameters of a `TextVAE`, int32 tokens [N, T] (the end's number behind the last of each),
 * what the decoder is told of those before [N, T], 1 where a token counts f32 [N, T], and noise [N, latent]; consumes these.
 */
export function textVaeLoss({ width, hidden, latent }: Readonly<Record<'width' | 'hidden' | 'latent', number>>): Loss {
  return (p, ...data) => {
    const [tokens, told, counted, noise] = data as [np.Array, np.Array, np.Array, np.Array];
    const [n, t] = tokens.shape as [number, number];
    const named = (name: string) => p[name]!.ref;
    const linear = (x: np.Array, weight: string, bias: string) =>
      np.matmul(x, np.transpose(named(weight))).add(named(bias));
    /** All states [N, T, hidden] of x [N, T, …]. */
    const walk = (x: np.Array, first: np.Array, name: string) => {
      const given = linear(x, `${name}.weight_ih_l0`, `${name}.bias_ih_l0`);
      let state = first;
      const states: np.Array[] = [];
      for (let step = 0; step < t; step++) {
        const own = linear(state.ref, `${name}.weight_hh_l0`, `${name}.bias_hh_l0`);
        const [xr, xz, xn] = np.split(given.ref.slice([], step), 3, -1) as [np.Array, np.Array, np.Array];
        const [hr, hz, hn] = np.split(own, 3, -1) as [np.Array, np.Array, np.Array];
        const fresh = np.tanh(xn.add(nn.sigmoid(xr.add(hr)).mul(hn)));
        state = fresh.ref.add(nn.sigmoid(xz.add(hz)).mul(state.sub(fresh)));
        states.push(np.reshape(state.ref, [n, 1, hidden]));
      }
      given.dispose();
      state.dispose();
      return np.concatenate(states, 1);
    };
    const embed = (of: np.Array) => np.reshape(np.take(named('embedding.weight'), of, 0), [n, t, width]);

    const read = walk(embed(tokens.ref), np.zeros([n, hidden]), 'encoder');
    const weights = np.reshape(counted.ref.div(np.sum(counted.ref, 1, { keepdims: true })), [n, t, 1]);
    const code = linear(np.sum(read.mul(weights), 1), 'code.weight', 'code.bias');
    const [mean, logvar] = np.split(code, 2, -1) as [np.Array, np.Array];
    const z = mean.ref.add(np.exp(logvar.ref.mul(0.5)).mul(noise));
    const kl = np.sum(mean.ref.mul(mean).add(np.exp(logvar.ref)).sub(logvar).sub(1), 1).mul(0.5);

    const beside = np.tile(np.reshape(z.ref, [n, 1, latent]), [1, t, 1]);
    const first = linear(z, 'start.weight', 'start.bias');
    const states = walk(np.concatenate([embed(told), beside], 2), first, 'decoder');
    const logits = linear(states, 'out.weight', 'out.bias');
    const wanted = nn.oneHot(tokens, logits.shape[2]!);
    const each = np.sum(nn.logSoftmax(logits, -1).mul(wanted), 2).mul(-1);
    tree.dispose(p);
    return np.sum(each.mul(counted), 1).add(kl).mean();
  };
}
