// Lavapipe, Mesa's Vulkan driver for the CPU: with it, f16 and subgroups of 8 can be tried on a machine without a GPU.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Dawn takes no older one. */
export const MESA = 'Mesa 25 or newer (on Debian 12, as root: apt-get install mesa-vulkan-drivers/bookworm-backports)';

const RELEASE = 'bookworm';
const SOURCES = '/etc/apt/sources.list';
const PACKAGE = 'mesa-vulkan-drivers';

/** The file that tells a Vulkan loader of lavapipe, if there is one; of which version, Dawn finds out. */
export function lavapipeFile(): string | undefined {
  const folders = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
  const files = folders.filter(existsSync).flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return files.find((file) => /\/lvp_icd\..*json$/.test(file));
}

/**
 * Installs Mesa from Debian's backports, as root on Debian 12. The mirror is the one that the machine uses already, and
 * its list of sources stays as it is.
 *
 * @returns why not, if it was not possible
 */
export function installMesa(): string | undefined {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  if (!/^ID="?debian"?$/m.test(release) || !/^VERSION_ID="12"$/m.test(release)) return 'this is not Debian 12';
  if (process.getuid?.() !== 0) return 'only root may install it';
  const mirror = apt('indextargets', ['--format', '$(REPO_URI)', `Release: ${RELEASE}`, 'Component: main'])
    .stdout?.split('\n')
    .find(Boolean);
  if (!mirror) return `apt has no source of ${RELEASE}`;
  console.error(`glia: installing ${PACKAGE} from ${RELEASE}-backports (apt-get) …`);
  const folder = mkdtempSync(join(tmpdir(), 'glia-apt-'));
  try {
    // The machine's own sources and one more, for these two calls alone. (Those in sources.list.d are read besides.)
    const sources = join(folder, 'sources.list');
    const own = existsSync(SOURCES) ? readFileSync(SOURCES, 'utf8') : '';
    writeFileSync(sources, `${own}\ndeb ${mirror} ${RELEASE}-backports main\n`);
    const options = ['-o', `Dir::Etc::sourcelist=${sources}`, '-o', 'APT::Get::List-Cleanup=0'];
    const install = ['-y', '--no-install-recommends', '-t', `${RELEASE}-backports`, PACKAGE];
    for (const [command, args] of Object.entries({ update: [], install })) {
      const { status, stderr } = apt(command, [...options, ...args]);
      if (status !== 0) return `apt-get ${command} failed: ${stderr?.trim().split('\n').at(-1) ?? 'it is not there'}`;
    }
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function apt(command: string, args: readonly string[]) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync('apt-get', ['-qq', command, ...args], { env, encoding: 'utf8' });
}
