// One configuration for everything that goes through Vite: the demos, the commands, the published build, the tests.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';
import { chrome } from './tests/chrome.ts';

// Prepared before a page asks for them: a package that Vite first meets in mid-run reloads the page.
const pagePackages = ['gl-matrix', 'uplot', 'three/webgpu', 'three/tsl'];

/** What a driver does not read need not be downloaded: comments and indentation of shaders. */
const bareShaders: Plugin = {
  name: 'bare shaders',
  apply: 'build',
  enforce: 'pre',
  load(id) {
    const [path, query] = id.split('?');
    if (!path?.endsWith('.wgsl') || query !== 'raw') return undefined;
    const text = readFileSync(path, 'utf8').replace(/ *\/\/(?! unroll).*$/gm, '');
    return `export default ${JSON.stringify(text.replace(/^\s+/gm, ''))};`;
  },
};

/**
 * What only tests read need not be downloaded: references, random samples, and samples of ops without kernels of their
 * own, blanked out so that lines stay in place. (Products are tried on their samples; constants are folded by references
 * of elementwise ops.)
 */
const bareOps: Plugin = {
  name: 'bare ops',
  apply: 'build',
  enforce: 'post',
  transform(code, id) {
    const file = /\/src\/ops\/(\w+)\.ts$/.exec(id)?.[1];
    if (!file) return undefined;
    let text = code;
    const visit = (node: object) => {
      const members = 'properties' in node ? (node.properties as Member[]) : [];
      const has = (name: string) => members.some(({ key }) => key?.name === name);
      if (has('emit') || has('decompose') || has('variants')) {
        const unread = [
          'random',
          ...(file === 'matmul' ? [] : ['samples']),
          ...(file === 'elementwise' ? [] : ['reference']),
        ];
        for (const { start, end } of members.filter(({ key }) => unread.includes(key?.name ?? ''))) {
          // With the comma behind it.
          const stop = end + (/^\s*,/.exec(code.slice(end))?.[0].length ?? 0);
          text = text.slice(0, start) + code.slice(start, stop).replace(/[^\n]/g, ' ') + text.slice(stop);
        }
      }
      for (const child of Object.values(node)) if (child && typeof child === 'object') visit(child);
    };
    visit(this.parse(code));
    return { code: text, map: null };
  },
};

interface Member {
  readonly key?: { readonly name?: string };
  readonly start: number;
  readonly end: number;
}

/** Modules that the core imports at once; what it loads when asked is named by no group. */
const CORE =
  /\/(src\/(errors|gpu\/|graph\/(?!half)|ops\/(affine|argmax|composite|cross_entropy|elementwise|erf|gather|matmul|patches|philox|random|reduce|source|tensor|view)|runtime\/(build|compile|dispatch|experimental|program|readback|uploads|variables)\.)|shaders\/(?!ceilings|matmul\/subgroup_matrix))/;

/** The modules of the published package, by what is imported: `glia`, `glia/models`, … */
const entries = {
  glia: 'src/index.ts',
  models: 'src/models/index.ts',
  vision: 'src/nn/vision.ts',
  train: 'src/train/index.ts',
  profiler: 'src/runtime/index.ts',
};

/** `import … from 'glia'` in examples is this checkout: one line a published module. */
const alias = Object.entries(entries).map(([name, file]) => ({
  find: new RegExp(`^glia${name === 'glia' ? '' : `/${name}`}$`),
  replacement: fileURLToPath(new URL(file, import.meta.url)),
}));

export default defineConfig({
  plugins: [bareShaders, bareOps],
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
        codeSplitting: { groups: [{ name: 'core', test: CORE }] },
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
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          environment: 'node',
          include: ['tests/**/*.node.test.ts'],
          testTimeout: 120_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'on Dawn',
          environment: 'node',
          include: ['tests/**/*.dawn.test.ts'],
          globalSetup: 'tests/dawn.ts',
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
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
          // With the tests in Node: each leaves a core idle at times.
          sequence: { groupOrder: 0 },
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
