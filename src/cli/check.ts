// `npm run check`: types, lint and format, layer rules, and every shader compiled. `--fix` formats and repairs first.
import { spawn } from 'node:child_process';
import { OptionError } from '../errors.ts';
import type { PageServer } from './page_server.ts';
import { compileShaders } from './shaders.ts';

interface Outcome {
  passed: boolean;
  text: string;
}

interface Context {
  server: PageServer;
}

/** Each check by the name that selects it: `npm run check -- types shaders`. */
const checks: Record<string, (context: Context, fix: boolean) => Promise<Outcome>> = {
  types: () => tool('typescript-7/bin/tsc', '--noEmit'),
  lint: (_, fix) => tool('@biomejs/biome/bin/biome', 'check', '--error-on-warnings', ...(fix ? ['--write'] : [])),
  layers: () =>
    tool(
      'dependency-cruiser/bin/dependency-cruise.mjs',
      ...['--config', '.dependency-cruiser.cjs', '--output-type', 'err'],
      ...['src', 'demos', 'tests', 'vite.config.ts'],
    ),
  async shaders({ server }) {
    const { errors, notes, count } = await compileShaders(server);
    return { passed: errors.length === 0, text: [...errors, ...notes, `${count} shaders`].join('\n') };
  },
};

export async function main(args: string[], context: Context): Promise<number> {
  const fix = args.includes('--fix');
  const chosen = args.filter((name) => name !== '--fix');
  for (const name of chosen) {
    if (!Object.hasOwn(checks, name)) {
      throw new OptionError(`check: no check is called ${name}; there are ${Object.keys(checks).join(', ')}`);
    }
  }
  const start = performance.now();
  const results = await Promise.all(
    Object.entries(checks)
      .filter(([name]) => chosen.length === 0 || chosen.includes(name))
      .map(async ([name, run]) => {
        const { passed, text } = await run(context, fix).catch((error) => ({ passed: false, text: String(error) }));
        console.log(`${passed ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
        // What a tool says when it is content (so many files checked) is of no use to anybody.
        if (!passed || name === 'shaders') console.log(`${text.trim()}\n`.replace(/^/gm, '  '));
        return passed;
      }),
  );
  return results.every(Boolean) ? 0 : 1;
}

/** Runs the script of an installed package, and keeps what it says. */
function tool(script: string, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [`node_modules/${script}`, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part) => (text += part));
    child.on('error', reject);
    child.on('close', (code) => resolve({ passed: code === 0, text }));
  });
}
