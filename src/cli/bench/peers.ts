// TensorFlow.js is a hundred times the size of Glia: it is fetched when the bench first wants it, and never by `npm ci`.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';
import { BENCH_FOLDER, TFJS_URL, TFJS_VERSION } from '../../bench/results.ts';
import { installPackages } from '../npm.ts';

const PACKAGES = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-webgpu'];

/** Puts TensorFlow.js where the pages look for it, as one file. @returns whether it is there; if not, it was told why */
export async function fetchTensorFlow(): Promise<boolean> {
  const file = TFJS_URL.slice(1);
  if (existsSync(file)) return true;
  console.error(`glia: fetching TensorFlow.js ${TFJS_VERSION} for the comparison (once, some 70 MB) …`);
  const folder = join(BENCH_FOLDER, 'tfjs');
  try {
    installPackages(
      folder,
      PACKAGES.map((name) => `${name}@${TFJS_VERSION}`),
    );
    const entry = join(folder, 'entry.js');
    const gradients = `import '${PACKAGES[0]}/dist/register_all_gradients.js';\n`;
    writeFileSync(entry, PACKAGES.map((name) => `export * from '${name}';\n`).join('') + gradients);
    await build({
      configFile: false,
      logLevel: 'error',
      build: {
        outDir: BENCH_FOLDER,
        emptyOutDir: false,
        minify: true,
        target: 'es2022',
        lib: { entry, formats: ['es'], fileName: () => `tfjs-${TFJS_VERSION}.js` },
      },
    });
  } catch (error) {
    console.error(`glia: TensorFlow.js cannot be had, the bench goes on without it: ${(error as Error).message}`);
  } finally {
    // All that is needed of it is in the one file.
    rmSync(folder, { recursive: true, force: true });
  }
  return existsSync(file);
}
