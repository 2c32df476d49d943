// The transformer in TensorFlow.js, by separate ops.
import { finish, prepared, type Tensor, type TensorFlow, type Variable } from '../tfjs_api.ts';
import type { Prepared } from '../workloads.ts';
import type { GptSizes, GptTask, WriteTask } from './task.ts';

type Weights = Readonly<Record<string, Variable>>;

function weightsOf(tf: TensorFlow, { weights }: Pick<GptTask, 'weights'>): Record<string, Variable> {
  const variable = (data: Float32Array, shape: readonly number[]) => tf.variable(tf.tensor(data, shape), true);
  return Object.fromEntries(
    [...weights].map(([name, { data, shape }]) => [name, tf.tidy(() => variable(data, shape))]),
  );
}

/** Minus a large number where a query, down, must not see a key, across. */
function causalMask(tf: TensorFlow, length: number): Tensor {
  const hidden = (_: unknown, at: number) => (at % length > Math.floor(at / length) ? -1e9 : 0);
  return tf.tensor(Float32Array.from({ length: length * length }, hidden), [length, length]);
}

/** By tanh, as GPT-2 has it. */
function gelu(tf: TensorFlow, x: Tensor): Tensor {
  const cubic = tf.mul(tf.mul(tf.square(x), x), 0.044715);
  const t = tf.tanh(tf.mul(tf.add(x, cubic), Math.sqrt(2 / Math.PI)));
  return tf.mul(tf.mul(x, 0.5), tf.add(t, 1));
}

/** What is known at each of so many windows' tokens, int32 [windows · context]: [windows · context, width]. */
function hiddenOf(
  tf: TensorFlow,
  p: Weights,
  { layers, heads, width, context }: GptSizes,
  { tokens, mask, windows }: { tokens: Tensor; mask: Tensor; windows: number },
): Tensor {
  const size = width / heads;
  const named = (name: string) => p[`transformer.${name}`]!;
  const norm = (x: Tensor, name: string) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const unit = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(unit, named(`${name}.weight`)), named(`${name}.bias`));
  };
  const linear = (x: Tensor, name: string) =>
    tf.add(tf.matMul(x, named(`${name}.weight`), false, false), named(`${name}.bias`));
  const attend = (x: Tensor, name: string) => {
    const [q, k, v] = tf
      .split(linear(x, `${name}.c_attn`), 3, -1)
      .map((part) => tf.transpose(tf.reshape(part, [windows, context, heads, size]), [0, 2, 1, 3])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(size)), mask);
    const y = tf.transpose(tf.matMul(tf.softmax(scores), v, false, false), [0, 2, 1, 3]);
    return linear(tf.reshape(y, [windows * context, width]), `${name}.c_proj`);
  };
  const embedded = tf.reshape(tf.gather(named('wte.weight'), tokens), [windows, context, width]);
  let x = tf.reshape(tf.add(embedded, named('wpe.weight')), [windows * context, width]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `h.${layer}`;
    x = tf.add(x, attend(norm(x, `${block}.ln_1`), `${block}.attn`));
    const inner = gelu(tf, linear(norm(x, `${block}.ln_2`), `${block}.mlp.c_fc`));
    x = tf.add(x, linear(inner, `${block}.mlp.c_proj`));
  }
  return norm(x, 'ln_f');
}

function logitsOf(tf: TensorFlow, p: Weights, hidden: Tensor): Tensor {
  return tf.matMul(hidden, p['transformer.wte.weight']!, false, true);
}

export function prepareGptStep(tf: TensorFlow, task: GptTask): Prepared {
  const { sizes, batch, batches } = task;
  const { lr, beta2, weightDecay, maxNorm } = task.optimizer;
  const { context, vocabulary } = sizes;
  const p = weightsOf(tf, task);
  const variables = Object.values(p);
  const mask = causalMask(tf, context);
  const rows = (tokens: Int32Array, from: number) => {
    const part = tokens.filter((_, i) => i % (context + 1) >= from && i % (context + 1) < from + context);
    return tf.tensor(part, [batch * context], 'int32');
  };
  const data = batches.map((tokens) => ({ seen: rows(tokens, 0), next: rows(tokens, 1) }));
  // It has Adam; decay and the norm's limit are written out.
  const optimizer = tf.train.adam(lr, 0.9, beta2, 1e-8);
  let steps = 0;
  const step = () => {
    const { seen, next } = data[steps++ % 2]!;
    const { value, grads } = tf.variableGrads(() => {
      const hidden = hiddenOf(tf, p, sizes, { tokens: seen, mask, windows: batch });
      return tf.losses.softmaxCrossEntropy(tf.oneHot(next, vocabulary), logitsOf(tf, p, hidden));
    }, variables);
    const squares = Object.values(grads).map((g) => tf.sum(tf.square(g)));
    // Not by addN, which leaves scalars out on WebGPU.
    const norm = tf.sqrt(squares.reduce((a, b) => tf.add(a, b)));
    const scale = tf.minimum(tf.div(maxNorm, tf.add(norm, 1e-6)), 1);
    for (const one of variables) if (one.shape.length > 1) one.assign(tf.mul(one, 1 - lr * weightDecay));
    optimizer.applyGradients(Object.fromEntries(Object.entries(grads).map(([name, g]) => [name, tf.mul(g, scale)])));
    return value;
  };
  return prepared(
    tf,
    () => tf.tidy(step),
    () => {
      optimizer.dispose();
      tf.dispose([...variables, mask, ...data.flatMap(({ seen, next }) => [seen, next])]);
    },
  );
}

/** It has no cache: each token computes the whole window again. */
export function prepareWriting(tf: TensorFlow, task: WriteTask): Prepared {
  const { sizes, prompt, count } = task;
  const { context } = sizes;
  const p = weightsOf(tf, task);
  const mask = causalMask(tf, context);
  const nextOf = (window: Int32Array, position: number) =>
    tf.tidy(() => {
      const tokens = tf.tensor(window, [context], 'int32');
      const hidden = hiddenOf(tf, p, sizes, { tokens, mask, windows: 1 });
      return tf.argMax(logitsOf(tf, p, tf.slice(hidden, [position, 0], [1, sizes.width])), -1);
    });
  const write = async () => {
    const window = new Int32Array(context);
    window.set(prompt);
    for (let length = prompt.length; length < prompt.length + count; length++) {
      const token = nextOf(window, length - 1);
      window[length] = (await token.data())[0]!;
      token.dispose();
    }
    return [...window.subarray(prompt.length, prompt.length + count)];
  };
  return {
    once: async () => ({ values: await write() }),
    async run(repeats) {
      for (let i = 0; i < repeats; i++) await write();
      await finish(tf);
    },
    destroy: () => tf.dispose([...Object.values(p), mask]),
  };
}
