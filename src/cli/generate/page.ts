// The page behind `npm run generate`: writes, and tells the command what it wrote.
import { Gpu } from '../../gpu/gpu.ts';
import { decodeTrained } from '../../train/checkpoint.ts';
import { restoreText } from '../../train/trained_text.ts';
import { get } from '../train/fetch.ts';
import { type Job, type Outcome, TELL, type Tell } from './protocol.ts';
import { modelOf, write } from './work.ts';

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
  const trained = await modelOf(decodeTrained(file, job.trained));
  const gpu = await Gpu.request();
  restoreText(gpu, trained);
  const tell = (globalThis as unknown as Record<typeof TELL, Tell>)[TELL];
  const lost = gpu.lost.then((error) => {
    throw error;
  });
  return { event: 'done', adapter: gpu.name, ...(await Promise.race([write(gpu, trained, job.what, tell), lost])) };
}
