// One configuration for everything that goes through Vite: the demos, the commands, the published build, the tests.
import { readFileSync } from 'node:fs';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';
import { chrome } from './tests/chrome.ts';

// Prepared before a page asks for them: a package that Vite first meets in mid-run reloads the page.
const pagePackages = ['gl-matrix', 'uplot'];

/** What a driver does not read need not be downloaded: comments and indentation of shaders. */
const bareShaders: Plugin = {
  name: 'bare shaders',
  apply: 'build',
  enforce: 'pre',
  load(id) {
    const [path, query] = id.split('?');
    if (!path?.endsWith('.wgsl') || query !== 'raw') return undefined;
    const text = readFileSync(path, 'utf8').replace(/^\s*\/\/(?! unroll).*\n/gm, '');
    return `export default ${JSON.stringify(text.replace(/^\s+/gm, ''))};`;
  },
};

/** The modules of the published package, by what is imported: `glia`, `glia/models`, … */
const entries = {
  glia: 'src/index.ts',
  models: 'src/models/index.ts',
  train: 'src/train/index.ts',
  profiler: 'src/runtime/index.ts',
};

export default defineConfig({
  plugins: [bareShaders],
  appType: 'mpa',
  server: { host: '127.0.0.1' },
  optimizeDeps: { include: pagePackages },
  build: {
    target: 'es2022',
    lib: { entry: entries, formats: ['es'] },
    sourcemap: true,
    rolldownOptions: {
      output: {
        // A typed error is known to its reader by its name.
        keepNames: true,
        minify: { compress: true, mangle: true, codegen: { removeWhitespace: true } },
      },
    },
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          environment: 'node',
          include: ['tests/**/*.node.test.ts'],
          testTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        optimizeDeps: { include: [...pagePackages, 'fast-check', '@jax-js/jax'] },
        test: {
          name: 'in Chrome',
          include: ['tests/**/*.test.ts'],
          exclude: ['tests/**/*.node.test.ts'],
          globalSetup: 'tests/chrome.ts',
          // A software adapter takes its time, above all while it compiles a shader for the first time.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
          browser: {
            enabled: true,
            provider: chrome(),
            instances: [{ browser: 'chrome', name: 'chrome' }],
            headless: true,
            ui: false,
            screenshotFailures: false,
          },
        },
      },
    ],
  },
});
