// The measuring run on a bare machine, as one file without packages: node measure.mjs PHASE FOLDER. `npm run measure -- --pack`
// bundles it. GLIA_DAWN is the folder of the npm package `webgpu`.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PHASES, type PhaseName } from './phases.ts';
import { describeAdapter, runPhase } from './run.ts';

const [phase = 'probe', folder = '/tmp/out'] = process.argv.slice(2);
const dawn = await import(/* @vite-ignore */ pathToFileURL(join(process.env.GLIA_DAWN!, 'index.js')).href);
Object.assign(globalThis, dawn.globals);
/** Kept: Dawn frees the device with it. */
const webgpu: GPU = dawn.create([
  'disable-dawn-features=timestamp_quantization',
  'enable-dawn-features=allow_unsafe_apis',
]);

/** Whether there is a GPU; a rehearsal may run on the CPU. */
async function probe(): Promise<boolean> {
  const found = await describeAdapter(webgpu);
  console.log(JSON.stringify(found ?? 'NO ADAPTER'));
  const software = /llvmpipe|lavapipe|swiftshader/i.test(JSON.stringify(found));
  return found !== undefined && (!software || process.env.GLIA_REHEARSE !== undefined);
}

const isGood = phase in PHASES ? await runPhase(phase as PhaseName, webgpu, folder) : await probe();
process.exit(isGood ? 0 : 3);
