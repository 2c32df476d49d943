// One configuration for everything that goes through Vite: the demos, the commands, the published build, the tests.
import { defineConfig } from 'vitest/config';
import { chrome } from './tests/chrome.ts';

// Prepared before a page asks for them: a package that Vite first meets in mid-run reloads the page.
const pagePackages = ['gl-matrix', 'uplot'];

export default defineConfig({
  appType: 'mpa',
  server: { host: '127.0.0.1' },
  optimizeDeps: { include: pagePackages },
  build: {
    target: 'es2022',
    lib: { entry: 'src/index.ts', formats: ['es'], fileName: 'glia' },
    sourcemap: true,
    // A typed error is known to its reader by its name.
    rolldownOptions: { output: { keepNames: true } },
  },
  test: {
    projects: [
      {
        extends: true,
        test: { name: 'node', environment: 'node', include: ['tests/**/*.node.test.ts'], sequence: { groupOrder: 0 } },
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
