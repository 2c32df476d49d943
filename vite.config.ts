// One configuration for everything that goes through Vite: the demos, the commands, the published build, the tests.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Plugin, Rolldown } from 'vite';
import { defineConfig } from 'vitest/config';
import { publishedModules } from './src/cli/published.ts';
import { chrome } from './tests/chrome.ts';
import { planted } from './tests/fuzz/faults.ts';
import { LongestFirst } from './tests/order.ts';

// Prepared before a page asks for them: a package that Vite first meets in mid-run reloads the page.
const pagePackages = ['gl-matrix', 'uplot', 'three/webgpu', 'three/tsl'];

/** What a driver does not read need not be downloaded: comments and indentation of shaders. */
export const bareShaders: Plugin = {
  name: 'bare shaders',
  apply: 'build',
  enforce: 'pre',
  load(id) {
    const [path, query] = id.split('?');
    if (!path?.endsWith('.wgsl') || query !== 'raw') return undefined;
    const text = readFileSync(path, 'utf8').replace(/ *\/\/(?! unroll| include).*$/gm, '');
    return `export default ${JSON.stringify(text.replace(/^\s+/gm, ''))};`;
  },
};

/** What `glia` imports at once, as Rolldown knows it: all but what is loaded when asked for. */
let core: Set<string> | undefined;
function nameOfChunk(id: string, rolldown: { getModuleInfo(id: string): Rolldown.ModuleInfo | null }) {
  if (!core) {
    core = new Set([fileURLToPath(new URL(entries.glia!, import.meta.url))]);
    for (const known of core) for (const other of rolldown.getModuleInfo(known)?.importedIds ?? []) core.add(other);
  }
  return core.has(id) ? 'core' : null;
}

/** A fault to plant in the compiler, so that the random tests show that they find it. */
const FAULT = process.env.GLIA_FUZZ_FAULT;

/** The modules of the published package, by what is imported: `glia`, `glia/models`, … */
const entries = publishedModules();

/** `import … from 'glia'` in examples is this checkout: one line a published module. */
export const alias = Object.entries(entries).map(([name, file]) => ({
  find: new RegExp(`^glia${name === 'glia' ? '' : `/${name}`}$`),
  replacement: fileURLToPath(new URL(file, import.meta.url)),
}));

/** Tests that put a module of their own in another's place, which is for those that have not been loaded. */
const MOCKING = ['tests/attention.dawn.test.ts', 'tests/fuzz/steps.dawn.test.ts'];

function onDawn(name: string, files: { include?: string[]; exclude?: string[]; isolate?: boolean }) {
  return {
    extends: true as const,
    test: {
      name,
      environment: 'node' as const,
      include: ['tests/**/*.dawn.test.ts'],
      globalSetup: 'tests/dawn.ts',
      testTimeout: 120_000,
      hookTimeout: 120_000,
      ...files,
    },
  };
}

export default defineConfig(({ command }) => ({
  plugins: [bareShaders, ...(FAULT ? [planted(FAULT)] : [])],
  // What only tests of ops read falls away in what is published.
  define: {
    CHECKS: String(command !== 'build'),
    // `npm test -- --all`: every test samples nothing.
    ALL_TESTS: String(process.env.GLIA_ALL_TESTS === '1'),
    TEST_SEED: process.env.GLIA_FUZZ_SEED ?? String(Math.floor(2 ** 32 * Math.random())),
  },
  resolve: { alias },
  appType: 'mpa',
  server: { host: '127.0.0.1' },
  optimizeDeps: { include: pagePackages },
  build: {
    target: 'es2022',
    lib: { entry: entries, formats: ['es'] },
    sourcemap: true,
    rolldownOptions: {
      output: {
        // What the core needs in any case lies together, which packs better than chunk by chunk.
        codeSplitting: { groups: [{ name: nameOfChunk, debugName: 'core' }] },
        // An error is known to its reader by its class's name.
        minify: {
          compress: true,
          mangle: { keepNames: { class: true, function: false } },
          codegen: { removeWhitespace: true },
        },
      },
    },
  },
  test: {
    hideSkippedTests: true,
    // All projects at once, as many files in Node as there are cores beside the one in Chrome: each leaves a core idle at times.
    maxWorkers: availableParallelism(),
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          environment: 'node',
          include: ['tests/**/*.node.test.ts'],
          // Files share what they have loaded, which takes a tenth less.
          isolate: false,
          globalSetup: 'tests/pack.ts',
          testTimeout: 120_000,
        },
      },
      onDawn('on Dawn', { exclude: MOCKING, isolate: false }),
      onDawn('on Dawn, mocked', { include: MOCKING }),
      {
        extends: true,
        optimizeDeps: { include: [...pagePackages, 'fast-check', '@jax-js/jax'] },
        test: {
          name: 'in Chrome',
          include: ['tests/**/*.test.ts'],
          exclude: ['tests/**/*.{node,dawn}.test.ts'],
          globalSetup: 'tests/chrome.ts',
          // A software adapter takes its time, above all while it compiles a shader for the first time.
          testTimeout: 120_000,
          hookTimeout: 120_000,
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
}));
