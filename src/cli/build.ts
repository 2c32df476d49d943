// `npm run build`: dist/ as it is published: one ES module with its shaders inlined, and the type declarations.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';
import { build } from 'vite';
import { GliaError } from '../errors.ts';

export async function main(): Promise<number> {
  rmSync('dist', { recursive: true, force: true });
  await build({ logLevel: 'warn' });
  emitTypes('src/index.ts', 'dist/types');
  const code = readFileSync('dist/glia.js');
  // To standard error: `npm pack --json` runs this, and its standard output is read by programs.
  console.error(`glia: dist/glia.js, ${kilobytes(code)} KB (${kilobytes(gzipSync(code))} KB gzipped), and dist/types`);
  return 0;
}

/** Declarations of what the entry reaches and of nothing else, so that tests and commands stay out of the package. */
function emitTypes(entry: string, folder: string): void {
  const config = ts.getParsedCommandLineOfConfigFile(
    'tsconfig.json',
    { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: folder, rootDir: 'src' },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => report([diagnostic]) },
  );
  const program = ts.createProgram([entry], config?.options ?? {});
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

const kilobytes = (data: Uint8Array) => (data.length / 1000).toFixed(1);
