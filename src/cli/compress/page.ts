// The page behind `npm run compress` and `npm run decompress`: does their work on the browser's GPU.
import { Gpu } from '../../gpu/gpu.ts';
import { decodeTrained } from '../../train/checkpoint.ts';
import { get, loadData } from '../train/fetch.ts';
import {
  type CompressEnd,
  type CompressJob,
  compressWork,
  type DecompressEnd,
  type DecompressJob,
  decompressWork,
  type Told,
} from './work.ts';

export type Outcome =
  | { readonly event: 'done'; readonly end: CompressEnd | DecompressEnd }
  | { readonly event: 'error'; readonly name: string; readonly message: string };

/** @param base where the command has the job's files, and takes those that are made */
export async function run(base: string): Promise<Outcome> {
  try {
    return { event: 'done', end: await work(base) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { event: 'error', name, message };
  }
}

const bytesOf = async (base: string, name: string) => new Uint8Array(await (await get(base, name)).arrayBuffer());

async function work(base: string): Promise<CompressEnd | DecompressEnd> {
  const job = JSON.parse(await (await get(base, 'job.json')).text()) as CompressJob | DecompressJob;
  const tell = (globalThis as unknown as { gliaTell: Told }).gliaTell;
  const trained = job.trained === undefined ? undefined : await bytesOf(base, 'trained');
  const gpu = await Gpu.request();
  const lost = gpu.lost.then((error) => {
    throw error;
  });
  const post = async (name: string, bytes: Uint8Array) => {
    const response = await fetch(`${base}/${name}`, { method: 'POST', body: bytes as BodyInit });
    if (!response.ok) throw new Error(`${name} could not be written: ${await response.text()}`);
  };
  if (job.kind === 'compress') {
    const model = decodeTrained(trained!, job.trained);
    const dataset = await loadData(base, model.options);
    const { bytes, end, images } = await Promise.race([compressWork(gpu, job, model, dataset, tell), lost]);
    await post('archive', bytes);
    if (job.compare) await post('images', images);
    return end;
  }
  const archive = await bytesOf(base, 'archive');
  const { file, end } = await Promise.race([decompressWork(gpu, job, archive, trained, tell), lost]);
  await post(file.name, file.bytes);
  return end;
}
