// `npm run build`: dist/ as it is published: ES modules with their shaders inlined, and the type declarations.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { GliaError } from '../errors.ts';
import { publishedModules } from './published.ts';

/** TypeScript 7 takes a quarter of the time of the one before, which is there for dependency-cruiser alone. */
const TSC = 'node_modules/typescript-7/bin/tsc';

export async function main(): Promise<number> {
  rmSync('dist', { recursive: true, force: true });
  await build({ logLevel: 'warn' });
  const modules = publishedModules();
  emitTypes(Object.values(modules), 'dist/types');
  const sizes = Object.keys(modules).map((name) => `${name} ${downloadSize(`dist/${name}.js`)}`);
  // To standard error: `npm pack --json` runs this, and its standard output is read by programs.
  console.error(`glia: dist: gzipped, with all that each imports at once: ${sizes.join(', ')}`);
  return 0;
}

/** What a page downloads for a module, in kilobytes: itself and what it imports, without what is loaded when needed. */
function downloadSize(path: string): string {
  const seen = new Set<string>();
  const visit = (file: string): number => {
    if (seen.has(file)) return 0;
    seen.add(file);
    const code = readFileSync(file, 'utf8');
    const imports = [...code.matchAll(/(?:from|import)\s*"(\.\/[^"]+)"/g)].map(([, name]) =>
      join(dirname(file), name!),
    );
    return gzipSync(code).length + imports.reduce((sum, name) => sum + visit(name), 0);
  };
  return `${(visit(path) / 1000).toFixed(1)} KB`;
}

/** Declarations of what the modules reach and of nothing else, so that tests and commands stay out of the package. */
function emitTypes(modules: readonly string[], folder: string): void {
  const config = join(folder, 'tsconfig.json');
  const up = relative(folder, '.');
  const options = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    outDir: '.',
    rootDir: join(up, 'src'),
  };
  const files = [...modules, 'src/globals.d.ts'].map((file) => join(up, file));
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    config,
    JSON.stringify({ extends: join(up, 'tsconfig.json'), compilerOptions: options, include: [], files }),
  );
  const { status, stdout } = spawnSync(process.execPath, [TSC, '-p', config], { encoding: 'utf8' });
  if (status !== 0) throw new GliaError(`build: the types are not in order\n${stdout}`);
  rmSync(config);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue;
    // Users' resolvers look for './tensor.js' beside its declarations; the names as the sources write them end in '.ts'.
    const path = join(folder, name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/((?:from|import)\s*\(?\s*['"]\.{1,2}\/[^'"]+)\.ts(?=['"])/g, '$1.js'));
  }
}
