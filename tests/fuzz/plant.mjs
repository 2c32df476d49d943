// Plants each fault of faults.ts in turn and tells after how many random graphs the search found it:
//   node tests/fuzz/plant.mjs [--minutes 3] [--seed 1] [NAME …]
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { createServer, createServerModuleRunner } from 'vite';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '3' }, seed: { type: 'string', default: '1' } },
});
const server = await createServer({ logLevel: 'error', server: { hmr: false, ws: false, watch: null } });
const { FAULTS } = await createServerModuleRunner(server.environments.ssr).import('/tests/fuzz/faults.ts');
await server.close();

console.log('| fault | found by | after graphs |\n| --- | --- | --- |');
let missed = 0;
for (const [name, { what, search }] of Object.entries(FAULTS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const env = {
    ...process.env,
    GLIA_FUZZ_FAULT: name,
    GLIA_FUZZ_MINUTES: values.minutes,
    GLIA_FUZZ_SEED: values.seed,
    GLIA_FUZZ_SHRINK: '0',
  };
  const args = ['vitest', 'run', '--bail', '1', '-t', 'random|planned', `tests/fuzz/${search}.test.ts`];
  const { stdout, stderr } = spawnSync('npx', args, { env, encoding: 'utf8', maxBuffer: 2 ** 28 });
  const said = stdout + stderr;
  const cases = /case (\d+) of this search/.exec(said)?.[1];
  if (!cases) missed++;
  const result = cases ?? (/Tests .*failed/.test(said) ? 'failed otherwise' : 'not found');
  console.log(`| ${what} | \`${search}.test.ts\` | ${result} |`);
  if (!cases && process.env.VERBOSE) console.error(said.slice(-3000));
}
process.exitCode = missed ? 1 : 0;
