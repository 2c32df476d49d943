// The transformer in jax-js, and the one that tests check Glia's against. `.ref` is why jax-js does not free an array yet.
import { type Device, jit, nn, numpy as np, tree } from '@jax-js/jax';
import { type Arrays, type Loss, prepareTraining, toArrays, toIntegers } from '../jax_training.ts';
import type { Prepared } from '../workloads.ts';
import type { GptSizes, GptTask, WriteTask } from './task.ts';

/** What is known at each token, [windows, length, width], of int32 tokens [windows, length]; consumes these alone. */
function hiddenOf(p: Arrays, { layers, heads, width }: GptSizes, tokens: np.Array): np.Array {
  const [windows, length] = tokens.shape as [number, number];
  const named = (name: string) => p[`transformer.${name}`]!.ref;
  const norm = (x: np.Array, name: string) =>
    nn
      .standardize(x)
      .mul(named(`${name}.weight`))
      .add(named(`${name}.bias`));
  const linear = (x: np.Array, name: string) => np.matmul(x, named(`${name}.weight`)).add(named(`${name}.bias`));
  const attend = (x: np.Array, name: string) => {
    const parts = np.split(linear(x, `${name}.c_attn`), 3, -1);
    const [q, k, v] = parts.map((part) => np.reshape(part, [windows, length, heads, width / heads]));
    const y = nn.dotProductAttention(q!, k!, v!, { isCausal: true });
    return linear(np.reshape(y, [windows, length, width]), `${name}.c_proj`);
  };
  const positions = named('wpe.weight').slice([0, length]);
  let x = np.take(named('wte.weight'), tokens, 0).add(positions);
  for (let layer = 0; layer < layers; layer++) {
    const block = `h.${layer}`;
    x = x.ref.add(attend(norm(x, `${block}.ln_1`), `${block}.attn`));
    const inner = nn.gelu(linear(norm(x.ref, `${block}.ln_2`), `${block}.mlp.c_fc`));
    x = x.add(linear(inner, `${block}.mlp.c_proj`));
  }
  return norm(x, 'ln_f');
}

function logitsOf(p: Arrays, hidden: np.Array): np.Array {
  return np.matmul(hidden, np.transpose(p['transformer.wte.weight']!.ref));
}

/**
 * −log p of the tokens behind the first, nats a token: a function of parameters under GPT-2's names and of int32 tokens
 * [windows, length + 1], which consumes what it is given.
 */
export function gptLoss(sizes: GptSizes): Loss {
  return (p, tokens) => {
    const length = tokens!.shape[1]! - 1;
    const logits = logitsOf(p, hiddenOf(p, sizes, tokens!.ref.slice([], [0, length])));
    const next = nn.oneHot(tokens!.slice([], [1]), sizes.vocabulary);
    tree.dispose(p);
    return nn.logSoftmax(logits, -1).mul(next).sum(-1).mean().mul(-1);
  };
}

export async function prepareGptStep(task: GptTask, device: Device): Promise<Prepared> {
  const { sizes, batch, optimizer, weights } = task;
  const batches = task.batches.map((tokens) => [toIntegers(tokens, [batch, sizes.context + 1], device)]);
  return prepareTraining({ loss: gptLoss(sizes), optimizer, weights, batches, device });
}

/** It has no cache: each token computes the whole window again, since shapes must not change from one to the next. */
export async function prepareWriting({ sizes, weights, prompt, count }: WriteTask, device: Device): Promise<Prepared> {
  const p = toArrays(weights, device);
  const { context, width } = sizes;
  const next = jit((p: Arrays, tokens: np.Array, position: np.Array) => {
    const hidden = np.reshape(hiddenOf(p, sizes, tokens), [context, width]);
    const logits = logitsOf(p, np.take(hidden, np.reshape(position, [1]), 0));
    tree.dispose(p);
    return np.argmax(logits, -1);
  });
  const write = async () => {
    const window = new Int32Array(context);
    window.set(prompt);
    for (let length = prompt.length; length < prompt.length + count; length++) {
      const position = toIntegers(Int32Array.of(length - 1), [], device);
      const token = next(tree.ref(p), toIntegers(window, [1, context], device), position) as np.Array;
      window[length] = (await token.data())[0]!;
    }
    return [...window.subarray(prompt.length, prompt.length + count)];
  };
  return {
    once: async () => ({ values: await write() }),
    async run(repeats) {
      for (let i = 0; i < repeats; i++) await write();
    },
    destroy() {
      tree.dispose(p);
      next.dispose();
    },
  };
}
