// `npm run build`: dist/ as it is published: ES modules with their shaders inlined, and the type declarations.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';
import { build } from 'vite';
import { GliaError } from '../errors.ts';

export async function main(): Promise<number> {
  rmSync('dist', { recursive: true, force: true });
  await build({ logLevel: 'warn' });
  emitTypes(
    [
      'src/index.ts',
      'src/models/index.ts',
      'src/nn/vision.ts',
      'src/models/text.ts',
      'src/train/index.ts',
      'src/runtime/index.ts',
      'src/testing/index.ts',
    ],
    'dist/types',
  );
  const sizes = ['glia', 'models', 'vision', 'text', 'train', 'compress', 'profiler', 'testing'].map(
    (name) => `${name} ${downloadSize(`dist/${name}.js`)}`,
  );
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

/** Declarations of what the entry reaches and of nothing else, so that tests and commands stay out of the package. */
function emitTypes(entries: string[], folder: string): void {
  const config = ts.getParsedCommandLineOfConfigFile(
    'tsconfig.json',
    { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: folder, rootDir: 'src' },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => report([diagnostic]) },
  );
  const program = ts.createProgram([...entries, 'src/globals.d.ts'], config?.options ?? {});
  // Users' resolvers look for './tensor.js' beside its declarations; the names as the sources write them end in '.ts'.
  const { diagnostics } = program.emit(undefined, (path, text) => {
    ts.sys.writeFile(path, text.replace(/((?:from|import)\s*\(?\s*['"]\.{1,2}\/[^'"]+)\.ts(?=['"])/g, '$1.js'));
  });
  report([...ts.getPreEmitDiagnostics(program), ...diagnostics]);
  if (!existsSync(`${folder}/index.d.ts`)) throw new GliaError(`build: no declarations were written to ${folder}`);
}

function report(diagnostics: readonly ts.Diagnostic[]): void {
  if (diagnostics.length === 0) return;
  const host = { ...ts.sys, getNewLine: () => '\n', getCanonicalFileName: (name: string) => name };
  const text = ts.formatDiagnostics(diagnostics, { ...host, getCurrentDirectory: ts.sys.getCurrentDirectory });
  throw new GliaError(`build: the types are not in order\n${text}`);
}
