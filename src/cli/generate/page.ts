// The page behind `npm run generate`: writes, and tells the command what it wrote.
import { Gpu } from '../../gpu/gpu.ts';
import { Writer } from '../../models/generate.ts';
import { decodeTrained } from '../../train/checkpoint.ts';
import { restoreText, textOf, trainedGpt } from '../../train/trained_text.ts';
import { get } from '../train/fetch.ts';
import { type Job, type Outcome, TELL, type Tell } from './protocol.ts';

/** @param base where the command has the job's files */
export async function run(base: string): Promise<Outcome> {
  try {
    return await work(base);
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { event: 'error', name, message };
  }
}

async function work(base: string): Promise<Outcome> {
  const job = JSON.parse(await (await get(base, 'job.json')).text()) as Job;
  const file = new Uint8Array(await (await get(base, 'trained')).arrayBuffer());
  const trained = await trainedGpt(decodeTrained(file, job.trained));
  const { model, vocabulary } = trained;
  const prompt = vocabulary.encode(job.prompt);
  const gpu = await Gpu.request();
  restoreText(gpu, trained);
  using writer = await Writer.create(gpu, model, { seed: job.seed, cache: job.cache });
  const tell = (globalThis as unknown as Record<typeof TELL, Tell>)[TELL];
  const lost = gpu.lost.then((error) => {
    throw error;
  });
  const write = async () => {
    let tokens = 0;
    const began = performance.now();
    for await (const text of textOf(vocabulary, writer.write(prompt, job.tokens, job), (some) => (tokens += some))) {
      await tell(text);
    }
    return { tokens, seconds: (performance.now() - began) / 1000 };
  };
  return { event: 'done', adapter: gpu.name, ...(await Promise.race([write(), lost])) };
}
