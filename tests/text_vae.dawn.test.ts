// The VAE of sentences on SwiftShader, in Node: against PyTorch; a code is worth something to it; its likelihoods are what they should be.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { sentencesOf, sentenceTensors } from '../src/data/sentences.ts';
import { textFromString } from '../src/data/text.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { TextVAE } from '../src/models/text_vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { inEvaluation } from '../src/nn/training.ts';
import { gaussianKl } from '../src/ops/composite.ts';
import { add } from '../src/ops/elementwise.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { estimateSentences } from '../src/train/evaluate.ts';
import { trainByName } from '../src/train/named.ts';
import { completeOptions } from '../src/train/options.ts';
import { type SentenceDrawing, type SentenceLook, Sentences } from '../src/train/sentences.ts';
import { textFile } from '../src/train/texts.ts';
import { randomFrom } from './numbers.ts';
import { asJson, PYTHON, relativeError, torch } from './pytorch.ts';

describe('TextVAE', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('swiftshader') });
  });
  afterAll(() => gpu?.destroy());

  test.runIf(PYTHON)("the bound and every gradient are PyTorch's", async () => {
    const [count, length, vocabulary, latent] = [3, 5, 9, 3];
    const sizes = { vocabulary, width: 6, hidden: 8, latent };
    const model = new TextVAE({ ...sizes, wordDropout: 1 });
    const parameters = new Parameters(model, 1 + Math.floor(Math.random() * 2 ** 31));
    const rows = Array.from({ length: count }, (_, i) =>
      Array.from({ length }, (_, t) => (t < i + 2 ? Math.floor(Math.random() * vocabulary) : vocabulary)),
    );
    const noise = Float32Array.from({ length: count * latent }, () => 2 * Math.random() - 1);
    const tokens = input('tokens', [count, length], 'u32');
    const { reconstruction, kl } = inEvaluation(() => {
      const posterior = model.encode(tokens);
      const z = model.reparameterize(posterior, input('noise', [count, latent]));
      const kl = sum(gaussianKl(posterior.mean, posterior.logvar), { axis: 1 });
      return { reconstruction: model.negativeLogLikelihood(tokens, z), kl };
    });
    const loss = mean(add(reconstruction, kl));
    const named = Object.fromEntries([...parameters.named].map(([name, { tensor }]) => [name, tensor]));
    const wrt = gradients(loss, Object.values(named));
    const outputs: Record<string, Tensor> = Object.fromEntries(Object.keys(named).map((name, i) => [name, wrt[i]!]));
    const actual: Record<string, ArrayLike<number>> = await evaluate(
      gpu,
      { ...outputs, loss, reconstruction, kl },
      { tokens: Uint32Array.from(rows.flat()), noise },
    );
    const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
    const expected = torch('tests/text_vae_oracle.py', {
      ...{ latent, end: vocabulary, tokens: rows, untold: true, weights: asJson(weights) },
      noise: Array.from({ length: count }, (_, i) => [...noise.subarray(i * latent, (i + 1) * latent)]),
    }) as { loss: number; reconstruction: number[]; kl: number[]; gradients: Record<string, number[]> };
    expect(actual.loss![0]! / expected.loss).toBeCloseTo(1, 4);
    expect(relativeError(actual.reconstruction!, expected.reconstruction)).toBeLessThan(1e-5);
    expect(relativeError(actual.kl!, expected.kl)).toBeLessThan(1e-4);
    for (const name of Object.keys(named)) {
      expect(relativeError(actual[name]!, expected.gradients[name]!), name).toBeLessThan(1e-4);
    }
  });

  /** Two words a line, of four letters each: 2.8 nats, of which a letter by itself knows little. */
  const WORDS = ['abcd', 'bdea', 'cefb', 'dafc'];
  const lines = (count: number) => {
    const random = randomFrom(7);
    const word = () => WORDS[Math.floor(4 * random())];
    return Array.from({ length: count }, () => `${word()}${word()}\n`).join('');
  };

  test('a code is worth more than it costs: bound, texts and likelihood, and the decoder alone', async () => {
    const data = await textFromString('words', lines(400));
    const given = {
      model: 'text-vae',
      context: 8,
      width: 8,
      hidden: 24,
      batch: 32,
      steps: 300,
      lr: 2e-2,
      lrWarmup: 10,
    };
    const trained = async (latent: number) => {
      const options = completeOptions({ ...given, latent, warmup: 150, freeBits: 0.5, tokenizer: 'characters' });
      const trainer = await trainByName(gpu, data, options);
      for await (const _ of trainer.train());
      return { trainer, means: (await trainer.evaluate())! };
    };
    const alone = await trained(0);
    expect(Object.keys(alone.means)).toEqual(['loss']);
    expect(alone.means.loss).toBeGreaterThan(9);
    const [drawn, ...others] = await alone.trainer.texts();
    expect(others).toEqual([]);
    expect(drawn!.text).toMatch(/^([a-f]*\n){9}[a-f]*$/);
    // What has no code draws its words: not the likeliest sentence ten times.
    expect(new Set(drawn!.text.split('\n')).size).toBeGreaterThan(5);
    alone.trainer.destroy();

    const { trainer, means } = await trained(4);
    const { loss, reconstruction, kl } = means as { loss: number; reconstruction: number; kl: number };
    expect(loss).toBeCloseTo(kl + reconstruction, 3);
    expect(kl).toBeGreaterThan(1.5);
    expect(loss).toBeLessThan(alone.means.loss - 1.5);
    const { test: sentences } = sentenceTensors(data, 8);
    const found = await estimateSentences(gpu, trainer.model as TextVAE, sentences!, { samples: [1, 16] });
    expect(found.images).toBe(40);
    // Eight letters and an end each.
    expect(found.tokens).toBe(9 * 40);
    expect(Math.abs(found.loss.mean - loss)).toBeLessThan(1);
    expect(found.nll[1]!.mean).toBeLessThan(found.nll[0]!.mean);
    expect(found.nll[1]!.mean).toBeGreaterThan(2);
    const shown = await trainer.texts();
    const [samples, reconstructions, walk] = shown.map(({ text }) => text.split('\n'));
    expect(textFile(shown[1]!, { model: 'text-vae', step: 300 })).toMatch(
      /^# text-vae, step 300: test sentences; below each, .*\n# each word is written without .*\n\n[a-f]{8}\n {2}[a-f]*\n/,
    );
    expect(shown[2]!.caption).toContain(
      `from the code of “${reconstructions![0]}” to that of “${reconstructions![18]}”`,
    );
    expect(samples).toHaveLength(10);
    // Each sentence that was held back, and below it what its code says: letters in their places.
    const kept = reconstructions!.flatMap((line, i) =>
      i % 2 ? [...line.trim()].map((letter, at) => (letter === reconstructions![i - 1]![at] ? 1 : 0)) : [],
    );
    expect(kept.reduce<number>((a, b) => a + b, 0) / 80).toBeGreaterThan(0.4);
    expect(walk).toHaveLength(10);
    expect([walk![0], walk!.at(-1)]).toEqual([1, 19].map((line) => reconstructions![line]!.trim()));

    // One sentence at a time, as the studio and the command ask for it.
    using used = await Sentences.create(gpu, trainer.model as TextVAE, { vocabulary: data.vocabulary, context: 8 });
    const all = async (count: number, how: Partial<SentenceDrawing>) => {
      const written: string[] = [];
      for await (const text of used.samples(count, how)) written.push(text);
      return written;
    };
    // A run's own samples are those of its seed; more of them begin with these.
    expect((await all(13, { seed: 0 })).slice(0, 10)).toEqual(samples);
    expect(await all(10, { seed: 1 })).not.toEqual(samples);
    expect(new Set(await all(12, { temperature: 0 })).size).toBe(1);
    const heated = (seed: number) => all(12, { temperature: 0, seed, words: { temperature: 2 } });
    const hot = await heated(0);
    // In its second batch others are drawn than in its first.
    expect(hot.slice(10)).not.toEqual(hot.slice(0, 2));
    expect(await heated(0)).toEqual(hot);
    expect(await heated(1)).not.toEqual(hot);
    expect(new Set(await all(12, { temperature: 0, words: { temperature: 2, topK: 1 } })).size).toBe(1);
    const looks: SentenceLook[] = [];
    for (const sentence of sentencesOf(data, 8).test) looks.push(await used.look(sentence, looks.length < 3 ? 3 : 0));
    const backs = looks.slice(0, 10).map((_, i) => reconstructions![2 * i + 1]);
    expect(looks.slice(0, 10).map(({ written }) => `  ${written}`)).toEqual(backs);
    expect(new Set(looks.flatMap(({ drawn }) => drawn)).size).toBeGreaterThan(2);
    const meanOf = (of: (look: SentenceLook) => number) =>
      looks.reduce((sum, look) => sum + of(look), 0) / looks.length;
    expect(meanOf(({ kl }) => kl)).toBeCloseTo(kl, 3);
    expect(Math.abs(meanOf(({ bound }) => bound) - found.loss.mean)).toBeLessThan(0.4);
    // At a temperature of 0, all codes of a sentence are their mean.
    const still = await used.look(used.tokens(` ${reconstructions![0]} `), 2, { temperature: 0 });
    expect(still.drawn).toEqual([still.written, still.written]);
    expect(still).toMatchObject({ tokens: 8, kl: looks[0]!.kl, bound: looks[0]!.bound });
    trainer.destroy();
  });
});
