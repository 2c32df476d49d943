// A variational autoencoder of sentences (Bowman and others, Generating Sentences from a Continuous Space, 2016): a recurrent network
// reads a sentence, and another writes it from the code.
import { OptionError } from '../errors.ts';
import { GRU } from '../nn/gru.ts';
import { Linear } from '../nn/layers.ts';
import { Module } from '../nn/module.ts';
import { Embedding } from '../nn/pool.ts';
import { isTraining, nextKey } from '../nn/training.ts';
import { gaussianKl } from '../ops/composite.ts';
import { crossEntropy } from '../ops/cross_entropy.ts';
import {
  add,
  div,
  exp,
  greater,
  less,
  maximum,
  minimum,
  mul,
  type Operand,
  square,
  sub,
  toF32,
  where,
} from '../ops/elementwise.ts';
import { normal, type RandomKey, uniform } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { constant } from '../ops/source.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, concat, reshape, slice } from '../ops/view.ts';
import { type ImportanceTerms, type Prepared, repeatedFor } from './latent_model.ts';
import { checkSizes } from './networks.ts';
import type { Posterior } from './vae.ts';

export interface TextVAEOptions {
  /** Tokens that there are; the number behind the last is the end of a sentence. */
  readonly vocabulary: number;
  /** Numbers of a token's embedding. */
  readonly width?: number;
  /** Numbers of a recurrent state. */
  readonly hidden?: number;
  /** Size of the code z; 0 for the decoder alone, a language model. */
  readonly latent?: number;
  /**
   * Share of the words before that the decoder is not told while it learns (section 3.1); at 1 it never sees any, and all that it
   * knows is the code.
   */
  readonly wordDropout?: number;
  /** Steps in which the weight of the KL term rises from 0; 0 for none. */
  readonly warmup?: number;
  /** Nats of each number of the code that cost nothing in training, as in `VAEOptions`. */
  readonly freeBits?: number;
}

const LOG_TWO_PI = Math.log(2 * Math.PI);

export class TextVAE extends Module {
  readonly embedding: Embedding;
  readonly encoder: GRU | undefined;
  readonly code: Linear | undefined;
  /** The decoder's first state, from the code. */
  readonly start: Linear | undefined;
  readonly decoder: GRU;
  readonly out: Linear;
  readonly latent: number;
  readonly hidden: number;
  /** The end of a sentence, and what stands before its first token. */
  readonly end: number;
  private readonly unknown: number;
  private readonly wordDropout: number;
  private readonly warmup: number;
  private readonly freeBits: number;

  constructor(options: TextVAEOptions) {
    super();
    const { vocabulary, width = 128, hidden = 128, latent = 32, wordDropout = 0 } = options;
    checkSizes('TextVAE', { vocabulary, width, hidden });
    if (!(Number.isInteger(latent) && latent >= 0)) {
      throw new OptionError(`TextVAE: latent must be a whole number from 0, got ${latent}`);
    }
    this.latent = latent;
    this.hidden = hidden;
    this.end = vocabulary;
    this.unknown = vocabulary + 1;
    this.wordDropout = wordDropout;
    this.warmup = options.warmup ?? 0;
    this.freeBits = options.freeBits ?? 0;
    this.embedding = new Embedding(vocabulary + 2, width);
    if (latent > 0) {
      this.encoder = new GRU(width, hidden);
      this.code = new Linear(hidden, 2 * latent);
      this.start = new Linear(latent, hidden);
    }
    this.decoder = new GRU(width + latent, hidden);
    // As many as there are with the end and what is not told, or more that never come: matmuls like columns in fours.
    this.out = new Linear(hidden, 4 * Math.ceil((vocabulary + 2) / 4));
  }

  /** Whether the decoder is told the words before each; at `wordDropout` 1 it never is, and writes each by the code and its place. */
  get seesWords(): boolean {
    return this.wordDropout < 1;
  }

  /** 1 at the tokens of each sentence and the first end behind it: f32 [N, T]. */
  private counted(tokens: Tensor): Tensor {
    const [n, t] = tokens.shape as [number, number];
    return concat([broadcastTo(constant(1), [n, 1]), less(slice(tokens, 1, 0, t - 1), constant(this.end, 'u32'))], 1);
  }

  /** q(z | x) of sentences u32 [N, T], each with an end behind it. @throws OptionError if there is no latent */
  encode(tokens: Tensor): Posterior {
    const { encoder, code, latent } = this;
    if (!encoder || !code) throw new OptionError('TextVAE: without a latent, there is no code of a sentence');
    return scope('encoder', () => {
      const [states] = encoder.forward(this.embedding.forward(tokens));
      const counted = reshape(this.counted(tokens), [...tokens.shape, 1]);
      // All states have their say: of the last alone, the first words are forgotten before a code has learned of them
      // (Long, Cao and Cheung, On Posterior Collapse and Encoder Feature Dispersion in Sequence VAEs, 2019).
      const read = div(sum(mul(states, counted), { axis: 1 }), sum(counted, { axis: 1 }));
      const both = code.forward(read);
      return { mean: slice(both, 1, 0, latent), logvar: slice(both, 1, latent) };
    });
  }

  reparameterize({ mean, logvar }: Posterior, noise: Tensor): Tensor {
    return scope('reparameterize', () => add(mean, mul(exp(mul(logvar, 0.5)), noise)));
  }

  /** What the decoder is told of the tokens before each: u32 [N, T]. */
  private told(tokens: Tensor): Tensor {
    const { wordDropout, unknown } = this;
    const [n, t] = tokens.shape as [number, number];
    const begin = broadcastTo(constant(this.end, 'u32'), [n, 1]);
    const before = slice(tokens, 1, 0, t - 1);
    const unsaid = broadcastTo(constant(unknown, 'u32'), before.shape);
    if (!this.seesWords) return concat([begin, unsaid], 1);
    const key = wordDropout > 0 && isTraining('TextVAE') ? nextKey('TextVAE') : undefined;
    const kept = key ? where(greater(uniform(before.shape, key), wordDropout), before, unsaid) : before;
    return concat([begin, kept], 1);
  }

  /** The decoder's states, from what it is told u32 [N, T] and the code [N, latent]. */
  private states(told: Tensor, z: Tensor | undefined, before?: Tensor): Tensor {
    const [n, t] = told.shape as [number, number];
    const embedded = this.embedding.forward(told);
    if (!z) return this.decoder.forward(embedded, before)[0];
    const beside = broadcastTo(reshape(z, [n, 1, this.latent]), [n, t, this.latent]);
    return this.decoder.forward(concat([embedded, beside], 2), before ?? this.first(z))[0];
  }

  private first(z: Tensor): Tensor {
    return reshape(this.start!.forward(z), [1, z.shape[0]!, this.hidden]);
  }

  /** −log p(x | z) of each sentence u32 [N, T], its end included; of the decoder alone, without a code: nats, [N]. */
  negativeLogLikelihood(tokens: Tensor, z?: Tensor): Tensor {
    return scope('decoder', () => {
      const [n, t] = tokens.shape as [number, number];
      const states = this.states(this.told(tokens), z);
      const logits = this.out.forward(reshape(states, [n * t, this.hidden]));
      const each = reshape(crossEntropy(logits, reshape(tokens, [n * t])), [n, t]);
      return sum(mul(each, this.counted(tokens)), { axis: 1 });
    });
  }

  /**
   * One token further: the logits [N, vocabulary + 1 or more] after a token u32 [N], at a position u32 scalar, from the code [N, latent] and the
   * state before [N, hidden], which is not read at position 0.
   */
  step(token: Tensor, position: Tensor, z: Tensor, before: Tensor): { logits: Tensor; state: Tensor } {
    const n = token.shape[0]!;
    return scope('decoder', () => {
      const isFirst = less(position, constant(1, 'u32'));
      const shape = [1, n, this.hidden];
      const begin = this.latent > 0 ? this.first(z) : broadcastTo(constant(0), shape);
      const initial = where(isFirst, begin, reshape(before, shape));
      const said = this.seesWords ? token : broadcastTo(constant(this.unknown, 'u32'), [n]);
      const told = where(isFirst, broadcastTo(constant(this.end, 'u32'), [n]), said);
      const states = this.states(reshape(told, [n, 1]), this.latent > 0 ? z : undefined, initial);
      const state = reshape(states, [n, this.hidden]);
      return { logits: this.out.forward(state), state };
    });
  }

  /** KL of each number of the codes, [N, latent]. @param prepared a posterior */
  klOfEach({ mean, logvar }: Prepared): Tensor {
    return gaussianKl(mean!, logvar!);
  }

  /**
   * As `LatentModel.importance`.
   *
   * @param tokens u32 [N, T]
   * @param prepared their posterior
   * @param noise [k, N, latent]
   */
  importance(tokens: Tensor, prepared: Prepared, noise: Tensor): ImportanceTerms {
    const [k, n, latent] = noise.shape as [number, number, number];
    const posterior = prepared as unknown as Posterior;
    const z = this.reparameterize(posterior, noise);
    const repeated = repeatedFor(k, tokens);
    const reconstruction = reshape(this.negativeLogLikelihood(repeated, reshape(z, [k * n, latent])), [k, n]);
    return scope('importance', () => {
      const logPrior = mul(sum(add(square(z), LOG_TWO_PI), { axis: 2 }), -0.5);
      const logQ = mul(sum(add(add(square(noise), posterior.logvar), LOG_TWO_PI), { axis: 2 }), -0.5);
      return { reconstruction, divergence: sub(logQ, logPrior) };
    });
  }

  /**
   * The negated bound of each sentence u32 [N, T] and its terms, nats a sentence, [N] each; without a latent, −log p(x) alone.
   *
   * @param step of the training, u32; not given in a test, where free bits and warm-up do not count
   */
  terms(tokens: Tensor, key: RandomKey, step?: Tensor): Readonly<Record<string, Tensor>> & { readonly loss: Tensor } {
    if (this.latent === 0) return { loss: this.negativeLogLikelihood(tokens) };
    const posterior = this.encode(tokens);
    const z = this.reparameterize(posterior, normal([tokens.shape[0]!, this.latent], key));
    const reconstruction = this.negativeLogLikelihood(tokens, z);
    return scope('elbo', () => {
      const each = gaussianKl(posterior.mean, posterior.logvar);
      const kl = sum(each, { axis: 1 });
      const charged = step && this.freeBits > 0 ? sum(maximum(mean(each, { axis: 0 }), this.freeBits)) : kl;
      return { loss: add(reconstruction, mul(charged, this.weight(step))), reconstruction, kl };
    });
  }

  private weight(step?: Tensor): Operand {
    return step && this.warmup > 0 ? minimum(mul(add(toF32(step), 1), 1 / this.warmup), 1) : 1;
  }
}
