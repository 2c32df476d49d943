// A transformer in plain JavaScript in float64, forward and backward, AdamW's first step and greedy writing: what engines
// are judged by. Shares nothing with them. Rows lie in arrays one after the other.
import { attentionGradients, dot } from '../reference.ts';
import type { GptSizes, GptTask, WriteTask } from './task.ts';

/** Numbers, and the gradient of the loss for them, which the backward pass adds up. */
class Value {
  readonly data: Float64Array;
  readonly grad: Float64Array;

  constructor(data: Float64Array) {
    this.data = data;
    this.grad = new Float64Array(data.length);
  }
}

type Weights = ReadonlyMap<string, Value>;

/** What goes back, in the order in which it was computed. */
type Tape = (() => void)[];

export function weightValues({ weights }: Pick<GptTask, 'weights'>): Map<string, Value> {
  return new Map([...weights].map(([name, { data }]) => [name, new Value(Float64Array.from(data))]));
}

/** x·W + b for rows of x; W is [inputs, outputs]. */
function linear(tape: Tape, x: Value, weight: Value, bias: Value | undefined, inputs: number): Value {
  const rows = x.data.length / inputs;
  const outputs = weight.data.length / inputs;
  const y = new Value(new Float64Array(rows * outputs));
  if (bias) for (let at = 0; at < y.data.length; at++) y.data[at] = bias.data[at % outputs]!;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < inputs; i++) {
      const [value, w, at] = [x.data[row * inputs + i]!, i * outputs, row * outputs];
      for (let o = 0; o < outputs; o++) y.data[at + o]! += value * weight.data[w + o]!;
    }
  }
  tape.push(() => {
    if (bias) for (let at = 0; at < y.grad.length; at++) bias.grad[at % outputs]! += y.grad[at]!;
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < inputs; i++) {
        const [value, w, at] = [x.data[row * inputs + i]!, i * outputs, row * outputs];
        x.grad[row * inputs + i]! += dot(y.grad, at, weight.data, w, outputs);
        for (let o = 0; o < outputs; o++) weight.grad[w + o]! += value * y.grad[at + o]!;
      }
    }
  });
  return y;
}

/** Of a matrix with rows of so many numbers. */
function transposed(tape: Tape, x: Value, columns: number): Value {
  const rows = x.data.length / columns;
  const from = (i: number) => (i % rows) * columns + Math.floor(i / rows);
  const y = new Value(x.data.map((_, i) => x.data[from(i)]!));
  tape.push(() => {
    for (const [i, g] of y.grad.entries()) x.grad[from(i)]! += g;
  });
  return y;
}

function layerNorm(tape: Tape, x: Value, scale: Value, shift: Value): Value {
  const width = scale.data.length;
  const y = new Value(new Float64Array(x.data.length));
  const unit = new Float64Array(x.data.length);
  const inverses: number[] = [];
  for (let at = 0; at < unit.length; at += width) {
    const row = x.data.subarray(at, at + width);
    const mean = row.reduce((sum, value) => sum + value, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    const inverse = 1 / Math.sqrt(variance + 1e-5);
    inverses.push(inverse);
    for (let i = 0; i < width; i++) {
      unit[at + i] = (row[i]! - mean) * inverse;
      y.data[at + i] = unit[at + i]! * scale.data[i]! + shift.data[i]!;
    }
  }
  tape.push(() => {
    for (const [row, inverse] of inverses.entries()) {
      const at = row * width;
      let [mean, along] = [0, 0];
      for (let i = 0; i < width; i++) {
        const g = y.grad[at + i]!;
        shift.grad[i]! += g;
        scale.grad[i]! += g * unit[at + i]!;
        mean += (g * scale.data[i]!) / width;
        along += (g * scale.data[i]! * unit[at + i]!) / width;
      }
      for (let i = 0; i < width; i++) {
        x.grad[at + i]! += (y.grad[at + i]! * scale.data[i]! - mean - unit[at + i]! * along) * inverse;
      }
    }
  });
  return y;
}

function add(tape: Tape, a: Value, b: Value): Value {
  const y = new Value(a.data.map((value, i) => value + b.data[i]!));
  tape.push(() => {
    for (let i = 0; i < y.grad.length; i++) {
      a.grad[i]! += y.grad[i]!;
      b.grad[i]! += y.grad[i]!;
    }
  });
  return y;
}

/** By tanh, as GPT-2 has it. */
function gelu(tape: Tape, x: Value): Value {
  const scale = Math.sqrt(2 / Math.PI);
  const tanh = x.data.map((a) => Math.tanh(scale * (a + 0.044715 * a ** 3)));
  const y = new Value(x.data.map((a, i) => 0.5 * a * (1 + tanh[i]!)));
  tape.push(() => {
    for (let i = 0; i < y.grad.length; i++) {
      const [a, t] = [x.data[i]!, tanh[i]!];
      x.grad[i]! += y.grad[i]! * 0.5 * (1 + t + a * (1 - t * t) * scale * (1 + 3 * 0.044715 * a * a));
    }
  });
  return y;
}

/** Causal, of queries, keys and values side by side in rows; `length` rows are a window. */
function attend(tape: Tape, all: Value, { heads, width }: GptSizes, length: number): Value {
  const size = width / heads;
  const rows = all.data.length / (3 * width);
  const y = new Value(new Float64Array(rows * width));
  const windows = Array.from({ length: rows / length }, (_, window) => {
    const part = (of: number) =>
      Float64Array.from({ length: length * width }, (_, i) => {
        const row = window * length + Math.floor(i / width);
        return all.data[(3 * row + of) * width + (i % width)]!;
      });
    return [part(0), part(1), part(2)] as const;
  });
  const p = new Float64Array(length);
  for (const [window, [q, k, v]] of windows.entries()) {
    for (let query = 0; query < length * width; query += size) {
      const head = query % width;
      const here = Math.floor(query / width);
      let sum = 0;
      for (let j = 0; j <= here; j++)
        sum += p[j] = Math.exp(dot(q, query, k, j * width + head, size) / Math.sqrt(size));
      for (let j = 0; j <= here; j++) {
        for (let d = 0; d < size; d++) {
          y.data[window * length * width + query + d]! += (p[j]! / sum) * v[j * width + head + d]!;
        }
      }
    }
  }
  tape.push(() => {
    for (const [window, parts] of windows.entries()) {
      const cotangent = y.grad.subarray(window * length * width, (window + 1) * length * width);
      const gradient = attentionGradients({ heads, length, size }, [...parts, cotangent]);
      for (let i = 0; i < gradient.length; i++) {
        const [of, at] = [Math.floor(i / (length * width)), i % (length * width)];
        const row = window * length + Math.floor(at / width);
        all.grad[(3 * row + of) * width + (at % width)]! += gradient[i]!;
      }
    }
  });
  return y;
}

/** Logits, [windows · length, vocabulary], of windows of `length` tokens. */
function forward(tape: Tape, sizes: GptSizes, weights: Weights, tokens: ArrayLike<number>, length: number): Value {
  const { width, layers } = sizes;
  const named = (name: string) => weights.get(`transformer.${name}`)!;
  const [wte, wpe] = [named('wte.weight'), named('wpe.weight')];
  const norm = (x: Value, name: string) => layerNorm(tape, x, named(`${name}.weight`), named(`${name}.bias`));
  const dense = (x: Value, name: string, inputs: number) =>
    linear(tape, x, named(`${name}.weight`), named(`${name}.bias`), inputs);
  const places = (i: number) => {
    const row = Math.floor(i / width);
    return [tokens[row]! * width + (i % width), (row % length) * width + (i % width)] as const;
  };
  let x = new Value(
    Float64Array.from({ length: tokens.length * width }, (_, i) => {
      const [token, position] = places(i);
      return wte.data[token]! + wpe.data[position]!;
    }),
  );
  const embedded = x;
  tape.push(() => {
    for (const [i, g] of embedded.grad.entries()) {
      const [token, position] = places(i);
      wte.grad[token]! += g;
      wpe.grad[position]! += g;
    }
  });
  for (let layer = 0; layer < layers; layer++) {
    const block = `h.${layer}`;
    const all = dense(norm(x, `${block}.ln_1`), `${block}.attn.c_attn`, width);
    x = add(tape, x, dense(attend(tape, all, sizes, length), `${block}.attn.c_proj`, width));
    const inner = gelu(tape, dense(norm(x, `${block}.ln_2`), `${block}.mlp.c_fc`, width));
    x = add(tape, x, dense(inner, `${block}.mlp.c_proj`, 4 * width));
  }
  return linear(tape, norm(x, 'ln_f'), transposed(tape, wte, width), undefined, width);
}

/**
 * −log p of a batch's tokens, nats a token, to whose gradients for the weights `tape` then leads.
 *
 * @param tokens windows of `context` tokens and one
 */
export function lossOf(tape: Tape, sizes: GptSizes, weights: Weights, tokens: ArrayLike<number>): number {
  const { context: length, vocabulary } = sizes;
  const all = Array.from(tokens);
  const seen = all.filter((_, i) => i % (length + 1) < length);
  const next = all.filter((_, i) => i % (length + 1) > 0);
  const logits = forward(tape, sizes, weights, seen, length);
  let loss = 0;
  for (const [row, wanted] of next.entries()) {
    const values = logits.data.subarray(row * vocabulary, (row + 1) * vocabulary);
    const top = values.reduce((a, b) => Math.max(a, b));
    const sum = values.reduce((total, value) => total + Math.exp(value - top), 0);
    loss += (top + Math.log(sum) - values[wanted]!) / next.length;
    for (let i = 0; i < vocabulary; i++) {
      const share = Math.exp(values[i]! - top) / sum;
      logits.grad[row * vocabulary + i] = (share - Number(i === wanted)) / next.length;
    }
  }
  return loss;
}

/** The loss, with gradients in `weights`. */
export function lossAndGradients(sizes: GptSizes, weights: Weights, tokens: ArrayLike<number>): number {
  const tape: Tape = [];
  const loss = lossOf(tape, sizes, weights, tokens);
  for (const back of tape.reverse()) back();
  return loss;
}

/** AdamW's first step: both moments, corrected for their start at 0, are the gradient and its square. */
function firstStep({ optimizer, ...task }: GptTask, weights: Weights): void {
  const { lr, weightDecay, maxNorm } = optimizer;
  let squares = 0;
  for (const { grad } of weights.values()) for (const g of grad) squares += g * g;
  const scale = Math.min(1, maxNorm / Math.sqrt(squares));
  for (const [name, { data, grad }] of weights) {
    const decay = task.weights.get(name)!.shape.length > 1 ? lr * weightDecay : 0;
    for (let i = 0; i < data.length; i++) {
      const g = grad[i]! * scale;
      data[i] = data[i]! * (1 - decay) - (lr * g) / (Math.abs(g) + 1e-8);
    }
  }
}

/** The losses of two steps in a row. */
export function gptLosses(task: GptTask): [number, number] {
  const weights = weightValues(task);
  const first = lossAndGradients(task.sizes, weights, task.batches[0]);
  firstStep(task, weights);
  return [first, lossOf([], task.sizes, weights, task.batches[1])];
}

/** The most likely token each time. */
export function written({ sizes, prompt, count, ...task }: WriteTask): number[] {
  const weights = weightValues(task);
  const tokens = [...prompt];
  while (tokens.length < prompt.length + count) {
    const { data } = forward([], sizes, weights, tokens, tokens.length);
    const logits = data.subarray(-sizes.vocabulary);
    tokens.push(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
  }
  return tokens.slice(prompt.length);
}
