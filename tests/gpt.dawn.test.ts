// GPT on lavapipe in Node: against PyTorch, it learns, and it writes the same with a cache and without.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { grammarText } from '../src/data/grammar.ts';
import { textFromString } from '../src/data/text.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { Writer } from '../src/models/generate.ts';
import { GPT } from '../src/models/gpt.ts';
import { TransformerBlock } from '../src/nn/attention.ts';
import { Parameters } from '../src/nn/module.ts';
import { mul } from '../src/ops/elementwise.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { sampleReference } from '../src/ops/sample.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { trainByName } from '../src/train/named.ts';
import { completeOptions } from '../src/train/options.ts';
import { asJson, PYTHON, relativeError, torch } from './pytorch.ts';
import { sampled } from './sampled.ts';

async function written(writer: Writer, prompt: readonly number[], count: number, how = {}): Promise<number[]> {
  const all: number[] = [];
  for await (const some of writer.write(prompt, count, how)) all.push(...some);
  return all;
}

describe.skipIf(inject('withoutLavapipe'))('GPT', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test.runIf(PYTHON)("loss and every gradient are PyTorch's", async () => {
    const sizes = { vocabulary: 13, context: 9, layers: 2, heads: 2, width: 16 };
    const model = new GPT(sizes);
    const parameters = new Parameters(model, 1 + Math.floor(Math.random() * 2 ** 31));
    const tokens = Uint32Array.from({ length: 3 * 10 }, () => Math.floor(Math.random() * sizes.vocabulary));
    const loss = mean(model.loss(input('tokens', [3, 10], 'u32')));
    const names = [...parameters.named.keys()];
    const wrt = gradients(
      loss,
      [...parameters.named.values()].map(({ tensor }) => tensor),
    );
    const outputs: Record<string, Tensor> = { loss, ...Object.fromEntries(names.map((name, i) => [name, wrt[i]!])) };
    const actual = await evaluate(gpu, outputs, { tokens });
    const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
    const rows = [0, 1, 2].map((row) => [...tokens.subarray(10 * row, 10 * row + 10)]);
    const expected = torch('tests/gpt_oracle.py', { ...sizes, tokens: rows, weights: asJson(weights) }) as {
      loss: number;
      gradients: Record<string, number[]>;
    };
    expect(Math.abs(actual.loss![0]! - expected.loss)).toBeLessThan(1e-5);
    for (const name of names) {
      expect(relativeError(actual[name]!, expected.gradients[name]!), name).toBeLessThan(1e-4);
    }
  });

  const blocks = [
    { causal: true, normFirst: true, activation: 'gelu' },
    { causal: false, normFirst: false, activation: 'relu' },
  ] as const;
  test.runIf(PYTHON).each(sampled(blocks, 1))("a TransformerBlock is PyTorch's: %j", async ({ causal, ...how }) => {
    const [width, heads, hidden] = [12, 2, 20];
    const block = new TransformerBlock(width, heads, { hidden, dropout: 0, ...how });
    const parameters = new Parameters(block, 1 + Math.floor(Math.random() * 2 ** 31));
    const shape = [2, 7, width];
    const x = input('x', shape);
    const g = input('g', shape);
    const y = block.forward(x, { causal });
    const named = { ...Object.fromEntries([...parameters.named].map(([name, { tensor }]) => [name, tensor])), x };
    const wrt = gradients(sum(mul(y, g)), Object.values(named));
    const outputs: Record<string, Tensor> = Object.fromEntries(Object.keys(named).map((name, i) => [name, wrt[i]!]));
    const draw = () => Float32Array.from({ length: 2 * 7 * width }, () => 2 * Math.random() - 1);
    const given = { x: draw(), g: draw() };
    outputs.y = y;
    const actual = await evaluate(gpu, outputs, given);
    const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
    const expected = torch('tests/block_oracle.py', {
      ...{ width, heads, hidden, causal, shape, x: [...given.x], g: [...given.g], weights: asJson(weights) },
      ...how,
    }) as { y: number[]; gradients: Record<string, number[]> };
    expect(relativeError(actual.y!, expected.y)).toBeLessThan(1e-5);
    for (const name of Object.keys(named)) {
      expect(relativeError(actual[name]!, expected.gradients[name]!), name).toBeLessThan(1e-4);
    }
  });

  test('it learns sentences, and writes the same with a cache, without, and of a restored model', async () => {
    const data = await textFromString('grammar', grammarText({ sentences: 400 }));
    const given = { model: 'gpt', layers: 1, heads: 2, width: 32, context: 24, batch: 8, steps: 120, lr: 5e-3 };
    const trainer = await trainByName(gpu, data, completeOptions(given));
    const losses: number[] = [];
    for await (const event of trainer.train()) if (event.event === 'step') losses.push(event.loss);
    expect(losses[0]).toBeCloseTo(Math.log(data.vocabulary.size), 0);
    expect(losses.at(-1)).toBeLessThan(1.9);
    // Windows that are streamed are the same ones.
    const streamed = await trainByName(gpu, data, completeOptions({ ...given, budget: 0.01 }));
    expect(streamed.streamedThrough).toBeLessThan(10_000);
    for await (const event of streamed.train()) {
      if (event.event === 'step') expect(event.loss).toBe(losses[event.step - 1]);
      if (event.event === 'step' && event.step === 4) break;
    }
    streamed.destroy();
    const prompt = data.vocabulary.encode('the ');
    const model = trainer.model as GPT;
    const writer = await Writer.create(gpu, model, { seed: 5 });
    // Longer than the context, so that the window moves on.
    const text = await written(writer, prompt, 60);
    expect(await written(writer, prompt, 60)).toEqual(text);
    expect(text).toHaveLength(60);
    const how = { temperature: 0.8, topK: 5, topP: 0.9 };
    for (let count = 1; count < 6; count++) {
      const made = await written(writer, prompt, count, how);
      const { logits, u, token } = await writer.last();
      expect(token).toBe(
        sampleReference(logits, u, { temperature: Math.fround(0.8), topK: 5, topP: Math.fround(0.9) }),
      );
      expect(made.at(-1)).toBe(token);
    }
    const slow = await Writer.create(gpu, model, { seed: 5, cache: false });
    expect(await written(slow, prompt, 40)).toEqual(text.slice(0, 40));
    for (const one of [writer, slow, trainer]) one.destroy();
  });
});
