// The modules of the published package, by package.json: which there are, and which source each is made of.
import { readFileSync } from 'node:fs';

/** Each module's source by its name in `dist/`: `{ glia: 'src/index.ts', models: 'src/models/index.ts', … }`. */
export function publishedModules(): Record<string, string> {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    exports: Record<string, { types: string; default: string }>;
  };
  const modules = Object.values(exports).map(({ types, default: built }) => [
    built.replace('./dist/', '').replace('.js', ''),
    types.replace('./dist/types/', 'src/').replace('.d.ts', '.ts'),
  ]);
  return Object.fromEntries(modules);
}
