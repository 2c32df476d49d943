// The pages: `npm run dev` serves this folder, and `npm run site` builds it as files for any path of any web server.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { alias, bareShaders } from '../vite.config.ts';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ command }) => ({
  root: at('.'),
  base: './',
  cacheDir: at('../node_modules/.vite-pages'),
  plugins: [bareShaders],
  define: { CHECKS: String(command !== 'build') },
  resolve: { alias },
  appType: 'mpa',
  server: { host: '127.0.0.1', fs: { allow: ['..'] } },
  // Prepared before a page asks for them: a package that Vite first meets in mid-run reloads the page.
  optimizeDeps: {
    include: [
      ...['preact', 'preact/hooks', 'preact/jsx-runtime', 'preact/jsx-dev-runtime', '@preact/signals', 'comlink'],
      ...['idb', 'fflate', 'gifenc', 'uplot', 'gl-matrix', 'three/webgpu', 'three/tsl'],
    ],
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es', plugins: () => [bareShaders] },
  build: {
    outDir: at('../site'),
    emptyOutDir: true,
    target: 'es2022',
    // three.js, for an example.
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      checks: { pluginTimings: false },
      input: ['index.html', 'examples/index.html', 'bench/index.html'].map(at),
      // An error is known to its reader by its class's name.
      output: { minify: { compress: true, mangle: { keepNames: { class: true, function: false } }, codegen: true } },
    },
  },
}));
