// `npm run site`: the pages as static files in site/, which run from any path of any web server and, once visited, without
// a network.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { createCommand, parse } from './arguments.ts';
import { measureSite } from './site/measure.ts';

/** Larger files are engines that the bench compares with: they are left to the network. */
const MOST_KEPT = 1_500_000;

export async function main(args: string[]): Promise<number> {
  const command = createCommand('npm run site --')
    .usage('[options]')
    .description(
      'Builds the pages into site/, which runs from any path of any web server and, once visited, without a network.',
    )
    .option('--feel', 'measure tasks of the page while it trains, and the time from the pointer to the image', false);
  if (!parse(command, args)) return 0;
  const { feel } = command.opts<{ feel: boolean }>();
  const folder = resolve('site');
  const { size, files } = await buildSite(folder);
  console.error(
    `glia: site: ${files} files; the studio loads in ${(size / 1000).toFixed(0)} KB gzipped, before plots. Serve the folder from anywhere.`,
  );
  if (!feel) return 0;
  const { longTasks, latencies, steps } = await measureSite(folder);
  const quantile = (share: number) => latencies[Math.floor(share * latencies.length)]?.toFixed(0);
  console.log(
    `tasks of the page's thread above 50 ms during ${steps} steps: ${longTasks.map(Math.round).join(', ') || 'none'}`,
  );
  console.log(`from the pointer to the decoded image: median ${quantile(0.5)} ms, 90 % below ${quantile(0.9)} ms`);
  return 0;
}

/** @returns how many files, and what the studio's page loads at once, gzipped */
export async function buildSite(folder: string): Promise<{ readonly files: number; readonly size: number }> {
  // Vite builds for whatever this says.
  const before = process.env.NODE_ENV;
  process.env.NODE_ENV = 'production';
  try {
    return await buildPages(folder);
  } finally {
    if (before === undefined) delete process.env.NODE_ENV;
    else process.env.NODE_ENV = before;
  }
}

async function buildPages(folder: string): Promise<{ readonly files: number; readonly size: number }> {
  await build({ root: 'demos', logLevel: 'warn', build: { outDir: folder } });
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => statSync(join(folder, file)).isFile())
    .map((file) => file.replaceAll('\\', '/'));
  const kept = files.filter((file) => statSync(join(folder, file)).size <= MOST_KEPT);
  const entries = kept.map((url) => ({ url, revision: hash(join(folder, url)) }));
  await build({
    configFile: false,
    logLevel: 'warn',
    define: { FILES: JSON.stringify(entries), 'process.env.NODE_ENV': '"production"' },
    build: {
      outDir: folder,
      emptyOutDir: false,
      copyPublicDir: false,
      lib: {
        entry: resolve('demos/service_worker.ts'),
        formats: ['iife'],
        name: 'worker',
        fileName: () => 'service_worker.js',
      },
    },
  });
  return { files: files.length + 1, size: loadedSize(folder) };
}

const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);

/** What the page itself names, and what these import at once. */
function loadedSize(folder: string): number {
  const seen = new Set<string>();
  const visit = (file: string): number => {
    if (seen.has(file)) return 0;
    seen.add(file);
    const text = readFileSync(file, 'utf8');
    const imports = file.endsWith('.js') ? [...text.matchAll(/(?:from|import)\s*["`'](\.\/[^"`']+)["`']/g)] : [];
    const named = file.endsWith('.html') ? [...text.matchAll(/(?:src|href)="(\.\/[^"]+\.(?:js|css))"/g)] : [];
    const next = [...imports, ...named].map(([, name]) => join(file, '..', name!));
    return gzipSync(text).length + next.reduce((sum, name) => sum + visit(name), 0);
  };
  return visit(join(folder, 'index.html'));
}
