// Writes what is asked for, with a model that a file holds.
import { OptionError } from '../../errors.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { isOfText } from '../../train/built_in.ts';
import type { Trained } from '../../train/checkpoint.ts';
import type { Sentences } from '../../train/sentences.ts';
import { type TrainedText, textOf, trainedText } from '../../train/trained_text.ts';
import type { Job, Looked, Prompted, Sampled, Tell, Walked, Written } from './protocol.ts';

/** The model of text that a file holds. @throws OptionError if it is of something else, CheckpointError if the file is damaged */
export async function modelOf(trained: Trained): Promise<TrainedText> {
  const { name, options } = trained;
  if (!isOfText(options)) {
    throw new OptionError(`generate needs a model of text: gpt or text-vae; ${name} holds a ${options.model}`);
  }
  return trainedText(trained);
}

/** @param trained whose weights are on the device */
export async function write(gpu: Gpu, trained: TrainedText, what: Job['what'], tell: Tell): Promise<Written> {
  if (what.kind === 'prompt') return goOn(gpu, trained, what, tell);
  const sentences = await trained.entry.sentences!(gpu, trained.model, trained);
  return writeSentences(sentences, what, tell).finally(() => sentences.destroy());
}

async function goOn(gpu: Gpu, { entry, model, vocabulary }: TrainedText, what: Prompted, tell: Tell): Promise<Written> {
  const writer = await entry.writer!(gpu, model, { cache: what.cache });
  try {
    let count = 0;
    const began = performance.now();
    const tokens = writer.write(vocabulary.encode(what.prompt), what.tokens, what);
    for await (const text of textOf(vocabulary, tokens, (some) => (count += some))) await tell(text);
    return { count, unit: 'tokens', seconds: (performance.now() - began) / 1000 };
  } finally {
    writer.destroy();
  }
}

async function writeSentences(of: Sentences, what: Sampled | Looked | Walked, tell: Tell): Promise<Written> {
  const { count, how } = what;
  const began = performance.now();
  const done = (count: number): Written => ({ count, unit: 'sentences', seconds: (performance.now() - began) / 1000 });
  if (what.kind === 'samples') {
    for await (const text of of.samples(count, how)) await tell(`${text}\n`);
    return done(count);
  }
  if (what.kind === 'walk') {
    const between = await of.walk(of.tokens(what.from), of.tokens(what.to), count, how);
    await tell(between.map((text) => `${text}\n`).join(''));
    return done(count);
  }
  const { kl, bound, written, drawn } = await of.look(of.tokens(what.from), count, how);
  const lines = [
    `KL of its code     ${kl.toFixed(2)} nats`,
    `bound (−ELBO)      ${bound.toFixed(2)} nats`,
    `from its code      ${written}`,
    ...drawn.map((text) => `from a code near   ${text}`),
  ];
  await tell(lines.map((line) => `${line}\n`).join(''));
  return done(1 + drawn.length);
}
