// The commands as plain JavaScript, which starts four times as fast as module by module through Vite: bundled at first use, and
// again when one of the files that went into them has changed.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

/** A long run may load a part of its bundle at its end, long after another has taken its place. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

const stampOf = (path) => {
  const { mtimeMs, size } = statSync(path, { throwIfNoEntry: false }) ?? {};
  return `${mtimeMs} ${size}`;
};

const pageOf = (root, name) => join(root, 'src', 'cli', name, 'page.ts');

/** @returns the folder of NAME.mjs for each src/cli/NAME.ts, and of errors.mjs; and of pages/NAME.js for src/cli/NAME/page.ts */
export async function bundleCommands(root) {
  const cache = join(root, 'node_modules', '.commands');
  const index = join(cache, 'index.json');
  const sources = readdirSync(join(root, 'src', 'cli')).filter((name) => name.endsWith('.ts'));
  const found = read(index);
  const isCurrent = ([path, stamp]) => stampOf(join(root, path)) === stamp;
  if (found && existsSync(join(cache, found.name)) && Object.entries(found.inputs).every(isCurrent)) {
    return join(cache, found.name);
  }

  const { build } = await import('vite');
  // Vite sets it to what it builds for; the command is to find what it was started with.
  const { NODE_ENV } = process.env;
  const began = Date.now();
  const name = `${began}-${process.pid}`;
  const folder = join(cache, name);
  mkdirSync(cache, { recursive: true });
  const common = {
    ...{ root, configFile: false, logLevel: 'error', mode: 'development', base: './', publicDir: false },
    define: { CHECKS: 'true', PAGES: JSON.stringify(`/node_modules/.commands/${name}/pages`) },
  };
  const built = { minify: false, sourcemap: true };
  const pages = readdirSync(join(root, 'src', 'cli')).filter((name) => existsSync(pageOf(root, name)));
  const outputs = await Promise.all([
    build({
      ...common,
      build: {
        ...{ ...built, ssr: true, target: 'node20', outDir: folder, emptyOutDir: false },
        rolldownOptions: {
          input: {
            ...Object.fromEntries(sources.map((file) => [basename(file, '.ts'), join(root, 'src', 'cli', file)])),
            errors: join(root, 'src', 'errors.ts'),
          },
          output: { entryFileNames: '[name].mjs', chunkFileNames: 'chunks/[name]-[hash].mjs' },
        },
      },
    }),
    build({
      ...common,
      build: {
        ...{ ...built, target: 'es2022', outDir: join(folder, 'pages'), modulePreload: false },
        rolldownOptions: {
          preserveEntrySignatures: 'strict',
          input: Object.fromEntries(pages.map((name) => [name, pageOf(root, name)])),
          output: { entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
        },
      },
    }),
  ]);
  if (NODE_ENV === undefined) delete process.env.NODE_ENV;
  const output = outputs.flatMap(({ output }) => output);
  const ids = new Set(output.flatMap(({ moduleIds = [] }) => moduleIds.map((id) => id.split('?')[0])));
  const files = [...ids].filter(existsSync);
  const paths = [...files.map((file) => relative(root, file)), 'src/cli', 'package-lock.json'];
  // What was saved meanwhile may be in the bundle or not: the next command bundles again.
  if (paths.every((path) => statSync(join(root, path)).mtimeMs < began)) {
    const inputs = Object.fromEntries(paths.map((path) => [path, stampOf(join(root, path))]));
    writeFileSync(`${folder}.json`, JSON.stringify({ name, inputs }));
    renameSync(`${folder}.json`, index);
  }
  for (const other of readdirSync(cache)) {
    if (began - Number.parseInt(other, 10) > KEPT_MS) rmSync(join(cache, other), { recursive: true, force: true });
  }
  return folder;
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
