// Plants each fault of faults.ts in turn and tells after how many random graphs one of them showed it:
//   node tests/fuzz/plant.mjs [--seconds 300] [--seed 1] [NAME …]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createServer, createServerModuleRunner } from 'vite';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '300' }, seed: { type: 'string', default: '1' } },
});
const server = await createServer({ logLevel: 'error', server: { hmr: false, ws: false, watch: null } });
const runner = createServerModuleRunner(server.environments.ssr);
// A process for each, as vite.config.ts plants the fault when it is loaded.
const fault = process.env.GLIA_FUZZ_FAULT;
if (fault) {
  const { find } = await runner.import('/tests/fuzz/plant.ts');
  console.log(`found ${await find(fault, Number(values.seed), Number(values.seconds))}`);
  process.exit();
}
const { FAULTS } = await runner.import('/tests/fuzz/faults.ts');
await server.close();
console.log('| fault | held against | graphs |\n| --- | --- | --- |');
for (const [name, { what, search }] of Object.entries(FAULTS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const args = [fileURLToPath(import.meta.url), '--seconds', values.seconds, '--seed', values.seed];
  const env = { ...process.env, GLIA_FUZZ_FAULT: name };
  const { stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  const [, count] = /^found (\d+)$/m.exec(stdout) ?? [];
  const against = {
    results: 'float64, on lavapipe',
    plans: 'the plan itself',
    simplified: 'float64, before fusion',
    gradients: 'central differences',
    stores: 'stores, on lavapipe',
  }[search];
  console.log(`| ${what} | ${against} | ${count ?? `none within ${values.seconds} s`} |`);
  if (!count) process.exitCode = 1;
  if (!/^found/m.test(stdout)) console.error(stderr);
}
process.exit();
