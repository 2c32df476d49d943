// A command on a bare machine, from the folder that holds node_modules as `npm run measure -- --pack` packed it: node command.mjs NAME OPTIONS…
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runBundled } from '../run_bundled.mjs';

const [name = '', ...args] = process.argv.slice(2);
const bundles = resolve('node_modules/.commands');
const code = await runBundled(join(bundles, readdirSync(bundles)[0]), name, args);
if (code === undefined) console.error(`glia: ${name} is no command`);
process.exit(code ?? 1);
