// `npm run measure -- --pack`: a folder with all that one measuring run needs on a bare x86-64 Linux machine with a GPU and no
// network: Node, Dawn, the Vulkan loader with what NVIDIA's libraries want beside it, the run as one file, and the other commands.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'vite';
import { UnsupportedError } from '../../errors.ts';
import { DAWN_VERSION, dawnPackage } from '../dawn/dawn.ts';
import { PHASES } from './phases.ts';

const HERE = resolve('src/cli/measure');

/** Debian's packages of the Vulkan loader, and of what NVIDIA's EGL and GLX libraries are linked with. */
const DEBS =
  'libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libx11-6 libxext6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0';

/** @returns what could not be had, in words. @throws UnsupportedError on another kind of machine */
export async function pack(folder: string): Promise<string[]> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new UnsupportedError('--pack takes the programs of this machine along, so it works on x86-64 Linux');
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'debs'), { recursive: true });
  await build({
    logLevel: 'error',
    // The published package has no samples of its ops; this has.
    define: { CHECKS: 'true' },
    ssr: { noExternal: true },
    build: {
      ...{ outDir: folder, emptyOutDir: false, ssr: join(HERE, 'bare.ts'), lib: false, target: 'node20' },
      ...{ sourcemap: false, minify: false },
      rolldownOptions: { output: { entryFileNames: 'measure.mjs', codeSplitting: false } },
    },
  });
  copyFileSync(join(HERE, 'torch_measure.py'), join(folder, 'torch_measure.py'));
  for (const file of ['measure/command.mjs', 'run_bundled.mjs']) cpSync(join('src/cli', file), join(folder, file));
  const script = readFileSync(join(HERE, 'bare.sh'), 'utf8').replaceAll('@DAWN@', DAWN_VERSION);
  writeFileSync(join(folder, 'bare.sh'), script);
  copyFileSync('tests/pytorch_bench.py', join(folder, 'pytorch_bench.py'));
  const limits = Object.entries(PHASES).map(([name, { limit }]) => `${name} ${limit}\n`);
  writeFileSync(join(folder, 'phases'), limits.join(''));
  packNode(folder);
  packCommands(folder);
  return downloadDebs(folder);
}

function packNode(folder: string): void {
  const staging = mkdtempSync(join(tmpdir(), 'glia-pack-'));
  try {
    copyFileSync(realpathSync(process.execPath), join(staging, 'node'));
    const dawn = dawnPackage();
    // Drivers of other systems stay behind.
    const belongs = (path: string) => !/dist\/(?!linux-x64)[a-z0-9]+-/.test(path);
    cpSync(dawn, join(staging, 'webgpu'), { recursive: true, filter: belongs });
    tar(resolve(folder, 'node-webgpu.tar.xz'), ['-C', staging, 'node', 'webgpu']);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function tar(to: string, args: readonly string[]): void {
  const { status } = spawnSync('tar', ['-I', 'xz -T0 -2', '-cf', to, ...args]);
  if (status !== 0) throw new UnsupportedError(`tar could not make ${to}`);
}

/** What the bundled commands import. */
const PACKAGES = ['commander', 'cli-progress', 'sirv', 'gl-matrix', 'uplot'];

/** The commands as they run here, and the packages that they want. */
function packCommands(folder: string): void {
  const { name } = JSON.parse(readFileSync('node_modules/.commands/index.json', 'utf8')) as { name: string };
  const wanted = new Set(PACKAGES);
  // A set is walked to its end, with what is added on the way.
  for (const one of wanted) {
    const { dependencies = {} } = JSON.parse(readFileSync(join('node_modules', one, 'package.json'), 'utf8')) as {
      dependencies?: Readonly<Record<string, string>>;
    };
    for (const other of Object.keys(dependencies)) wanted.add(other);
  }
  const paths = [`.commands/${name}`, ...wanted].map((path) => join('node_modules', path));
  tar(resolve(folder, 'commands.tar.xz'), ['--exclude=*.map', ...paths]);
}

function downloadDebs(folder: string): string[] {
  const cwd = join(folder, 'debs');
  return DEBS.split(' ').filter((name) => {
    const { status } = spawnSync('apt-get', ['-qq', 'download', name], { cwd, stdio: 'ignore' });
    return status !== 0;
  });
}

/** Bytes of all files in a folder. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}
