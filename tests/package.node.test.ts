// The package as it would be published: packed, installed in an empty project, and used from there with the README's
// own lines, in Chrome.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../src/cli/browser.ts';
import { dawnPackage, swiftshaderFolder } from '../src/cli/dawn/dawn.ts';
import { VERSION } from '../src/version.ts';
import { packed } from './pack.ts';

let project: string;
let server: Server;

const installed = (...path: string[]) => join(project, 'node_modules', 'glia', ...path);
const npm = (args: string[], cwd: string) => execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: 'pipe' });

/** The first block of JavaScript in the README. */
function example(): string {
  const [, code] = /```js\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? [];
  if (!code) throw new Error('the README has no example in JavaScript');
  return code;
}

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'glia-package-'));
  mkdirSync(join(project, 'app'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  npm(['install', '--offline', '--no-audit', '--no-fund', await packed()], project);
  const types = { '.js': 'text/javascript', '.html': 'text/html' } as Record<string, string>;
  server = createServer(({ url = '/' }, response) => {
    const path = join(project, new URL(url, 'http://x').pathname);
    if (!existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'text/plain' }).end(readFileSync(path));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
}, 300_000);

afterAll(() => {
  server?.close();
  if (project) rmSync(project, { recursive: true, force: true });
});

test('it has no dependencies, and nothing in it that is of no use to its users', () => {
  expect(readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['glia']);
  expect(readdirSync(installed()).sort()).toEqual(['LICENSE', 'README.md', 'dist', 'package.json']);
  const manifest = JSON.parse(readFileSync(installed('package.json'), 'utf8'));
  expect(manifest.dependencies).toBeUndefined();
  expect(manifest.sideEffects).toBe(false);
  expect(manifest.type).toBe('module');
  expect(manifest.version).toBe(VERSION);
});

/**
 * Bytes of a module and of what it imports at once, gzipped file by file.
 *
 * @param seen files that are there; those that are counted are added
 */
function downloadSize(folder: string, entry: string, seen = new Set<string>()) {
  const sizeOf = (name: string): number => {
    if (seen.has(name)) return 0;
    seen.add(name);
    const code = readFileSync(join(folder, name), 'utf8');
    const imports = [...code.matchAll(/(?:from|import)\s*["`]\.\/([^"`]+)["`]/g)].map(([, other]) => other!);
    return gzipSync(code).length + imports.reduce((sum, other) => sum + sizeOf(other), 0);
  };
  return { bytes: sizeOf(entry), files: seen.size, seen };
}

test('the core is as small as the README says, and smaller in an app that uses a part of it', async () => {
  const [, whole, part] =
    /([\d.]+) KB gzipped, ([\d.]+) of them in an app/.exec(readFileSync('README.md', 'utf8')) ?? [];
  const core = downloadSize(installed('dist'), 'glia.js');
  expect(core.bytes).toBeLessThan((Number(whole) + 0.5) * 1000);
  expect(core.files, 'what it imports was counted').toBeGreaterThan(1);
  cpSync('demos/examples/perceptron.ts', join(project, 'app', 'perceptron.ts'));
  await build({
    root: join(project, 'app'),
    configFile: false,
    logLevel: 'error',
    build: {
      lib: { entry: 'perceptron.ts', formats: ['es'], fileName: 'perceptron' },
      outDir: 'built',
      // A library's build alone would keep the spaces, for the next bundler's annotations.
      rolldownOptions: { output: { minify: true } },
    },
  });
  const app = downloadSize(join(project, 'app', 'built'), 'perceptron.js');
  expect(app.bytes).toBeLessThan((Number(part) + 0.5) * 1000);
  expect(app.bytes).toBeGreaterThan(20_000);
  // What is loaded for the adapter at hand, beyond what the app has anyway.
  const built = join(project, 'app', 'built');
  const besides = (...names: string[]) =>
    readdirSync(built)
      .filter((file) => file.endsWith('.js') && names.some((name) => file.startsWith(name)))
      .reduce((sum, file) => sum + downloadSize(built, file, app.seen).bytes, 0);
  const [, cpu, gpu] = /(\d+) KB on a CPU, (\d+) KB on a GPU/.exec(readFileSync('README.md', 'utf8')) ?? [];
  for (const [said, bytes] of [
    [cpu, besides('kernels_cpu')],
    [gpu, besides('kernels_gpu', 'passes_gpu')],
  ] as const) {
    expect(bytes).toBeGreaterThan(500);
    expect(bytes).toBeLessThan((Number(said) + 0.5) * 1000);
  }
});

test.each([
  ['bundler', 'esnext'],
  ['nodenext', 'nodenext'],
])('the types of all its modules are found and right, with module resolution %s', (moduleResolution, module) => {
  const app = join(project, 'app');
  writeFileSync(join(app, 'example.ts'), `declare const images: Float32Array;\n${example()}`);
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, unknown> };
  const modules = Object.keys(exports).map((name) => name.replace('.', 'glia'));
  expect(modules).toContain('glia/compress');
  writeFileSync(join(app, 'modules.ts'), modules.map((name, i) => `export * as m${i} from '${name}';\n`).join(''));
  const compilerOptions = {
    ...{ strict: true, noEmit: true, skipLibCheck: false, skipDefaultLibCheck: true, types: [] },
    ...{ target: 'es2022', lib: ['es2022', 'dom'], module, moduleResolution },
  };
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['example.ts', 'modules.ts'] }));
  const tsc = resolve('node_modules', 'typescript-7', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', app], { encoding: 'utf8' });
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
});

test("the README's ten lines train in Chrome", async () => {
  const code = example();
  const statements = code.split('\n').filter((line) => line.trim() && line.trim() !== '}');
  expect(statements.length).toBeLessThanOrEqual(10);
  const html = `<!doctype html><title>app</title>
    <script type="importmap">
      { "imports": { "glia": "/node_modules/glia/dist/glia.js", "glia/models": "/node_modules/glia/dist/models.js" } }
    </script>
    <script type="module">
      const images = Float32Array.from({ length: 128 * 784 }, (_, i) => (i % 784 < 392 ? 0.9 : 0.1));
      globalThis.losses = [];
      globalThis.console = { ...console, log: (value) => losses.push(value[0]) };
      globalThis.images = images;
      await import('./example.js').catch((error) => { globalThis.failure = String(error); });
      globalThis.done = true;
    </script>`;
  writeFileSync(join(project, 'app', 'index.html'), html);
  writeFileSync(join(project, 'app', 'example.js'), code);
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/app/index.html`);
    await page.waitForFunction('globalThis.done', { timeout: 60_000 });
    const { losses, failure } = (await page.evaluate('({ losses, failure: globalThis.failure })')) as {
      losses: number[];
      failure?: string;
    };
    expect(failure).toBeUndefined();
    expect(losses).toHaveLength(10);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses[9]!).toBeLessThan(losses[0]! * 0.9);
  } finally {
    await browser.close();
  }
}, 120_000);

test("the README's ten lines train in Node, on the WebGPU implementation that they are given", async () => {
  symlinkSync(dawnPackage(), join(project, 'node_modules', 'webgpu'));
  const code = example().replace('Gpu.request()', 'Gpu.request({ gpu: create([]) })');
  expect(code).toContain('create([])');
  const setup = `import { create } from 'webgpu';
    const images = Float32Array.from({ length: 128 * 784 }, (_, i) => (i % 784 < 392 ? 0.9 : 0.1));`;
  writeFileSync(join(project, 'app', 'node.mjs'), `${setup}\n${code}\ngpu.destroy();\nprocess.exit(0);\n`);
  const folder = await swiftshaderFolder();
  const env = {
    ...process.env,
    VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'),
    LD_LIBRARY_PATH: folder,
    XDG_RUNTIME_DIR: tmpdir(),
  };
  const output = execFileSync(process.execPath, ['app/node.mjs'], {
    cwd: project,
    env,
    encoding: 'utf8',
    stdio: 'pipe',
  });
  const losses = [...output.matchAll(/Float32Array\(1\) \[ ([\d.]+) \]/g)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(10);
  expect(losses[9]!).toBeLessThan(losses[0]! * 0.9);
}, 180_000);
