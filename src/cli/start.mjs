// The one way into every command: installs what a fresh clone lacks, then runs `src/cli/COMMAND.ts`, bundled by Vite.
// It is plain JavaScript without a single dependency because it runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const [command = '', ...args] = process.argv.slice(2);

function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'));
  } catch {
    return undefined;
  }
}

function fail(message) {
  console.error(`glia: ${message}`);
  process.exit(1);
}

/**
 * Whether node_modules holds exactly what package-lock.json asks for. npm writes its own lock file into node_modules
 * as the last thing it does, so an interrupted install counts as none. File times are no help: a clone sets them anew.
 */
function isInstalled() {
  const wanted = readJson('package-lock.json')?.packages;
  const found = readJson('node_modules/.package-lock.json')?.packages;
  if (!wanted || !found) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true;
    const entry = found[path];
    return entry ? entry.version === version && entry.integrity === integrity : optional === true;
  });
}

function install() {
  console.error('glia: installing the npm packages (npm ci) …');
  // dev and dry-run are said out loud because NODE_ENV=production and `npm pack --dry-run` would reach this npm too.
  const options = ['ci', '--include=dev', '--dry-run=false', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const [file, argv] = npm?.endsWith('.js') ? [process.execPath, [npm, ...options]] : ['npm', options];
  // npm's words go to standard error, so that `--json` output stays clean.
  const stdio = ['ignore', 2, 2];
  const { status } = spawnSync(file, argv, { cwd: root, stdio, shell: file === 'npm' && process.platform === 'win32' });
  if (status !== 0) fail('npm ci failed: its messages are above; every command needs these packages');
}

/** Runs Vitest as a process of its own, because it ends its process when it is done. `--all` runs what is otherwise sampled. */
function runTests() {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const all = args.includes('--all');
  const child = spawn(process.execPath, [vitest, 'run', ...args.filter((arg) => arg !== '--all')], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...(all && { GLIA_ALL_TESTS: '1' }) },
  });
  // Ctrl-C reaches Vitest too, through the process group; this process only has to outlive it.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

const DEV_HELP = `Usage: npm run dev -- [options]

Serves the studio and the examples to a browser on this machine, from the sources as they are.

Options:
  --port <n>  another port, if that is free (default: 5173)
  -h, --help  print this help`;

async function serveDemos() {
  const options = { port: { type: 'string' }, help: { type: 'boolean', short: 'h' } };
  let given;
  try {
    given = parseArgs({ args, options }).values;
  } catch (error) {
    fail(`${error.message.split('. ')[0]}; npm run dev -- --help lists the options`);
  }
  if (given.help) {
    console.log(DEV_HELP);
    return 0;
  }
  const port = given.port === undefined ? undefined : Number(given.port);
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65536)) {
    fail(`--port must be a whole number from 1 to 65535; got "${given.port}"`);
  }
  const { createServer } = await import('vite');
  const server = await createServer({ root: join(root, 'demos'), server: { port } });
  await server.listen();
  console.log(`glia: ${server.resolvedUrls.local[0]}   (Ctrl-C stops)`);
  return new Promise(() => {});
}

/** Beside the command there is a server for its page. */
async function runCommand() {
  const [{ bundleCommands }, { runBundled }] = await Promise.all([import('./bundle.mjs'), import('./run_bundled.mjs')]);
  return (await runBundled(await bundleCommands(root), command, args)) ?? fail(unknownCommand());
}

function unknownCommand() {
  const known = Object.keys(readJson('package.json')?.scripts ?? {}).filter((name) => name !== 'prepack');
  return `unknown command "${command}"; the commands are ${known.join(', ')}`;
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) fail(`Node 20.19 or newer is needed; this is ${process.version}`);
const own = { test: runTests, dev: serveDemos };
if (!Object.hasOwn(own, command) && !(/^[a-z-]+$/.test(command) && existsSync(join(root, `src/cli/${command}.ts`)))) {
  fail(unknownCommand());
}
if (!isInstalled()) install();
process.chdir(root);
process.exit(await (own[command] ?? runCommand)());
