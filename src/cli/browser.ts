// Finds a browser with WebGPU on this machine, or installs one, and launches it so that WebGPU works without a GPU too.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Browser as RunningBrowser } from 'puppeteer';
import { UnsupportedError } from '../errors.ts';

/** Where a browser may come from. Each answers with a path, or with nothing; the tests bring sources of their own. */
export interface BrowserSources {
  /** Puppeteer's own folder of downloaded browsers. */
  cached(): Promise<string | undefined>;
  /** A Chrome, Chromium or Edge that the system has. */
  system(): Promise<string | undefined>;
  /** Puppeteer's download. */
  download(): Promise<string | undefined>;
  /** The system's package manager. */
  packaged(): Promise<string | undefined>;
}

/** The path of a browser: the one asked for, else one that is here, else one that is installed now. */
export async function findBrowser(sources: BrowserSources = localSources): Promise<string> {
  const explicit = process.env.PUPPETEER_EXECUTABLE_PATH;
  if (explicit) {
    if (existsSync(explicit)) return explicit;
    throw new UnsupportedError(`PUPPETEER_EXECUTABLE_PATH is ${explicit}, and there is no such file`);
  }
  for (const source of [sources.cached, sources.system, sources.download, sources.packaged]) {
    const path = await source();
    if (path) return path;
  }
  throw new UnsupportedError(
    'no browser found and none could be installed: install Google Chrome or Chromium (on Debian, as root: ' +
      'apt-get install chromium), or set PUPPETEER_EXECUTABLE_PATH to one',
  );
}

export interface LaunchOptions {
  readonly headed?: boolean;
  /** Whether pages draw into canvases by WebGPU: without a GPU, Chrome's GPU process dies of it unless it draws by SwiftShader's Vulkan. */
  readonly canvases?: boolean;
}

const hasGpu = () => process.platform !== 'linux' || existsSync('/dev/dri') || existsSync('/dev/nvidia0');

/** Starts a browser with a fresh profile, which close() removes. The caller ends it: signals do not. */
export async function launchBrowser(options: LaunchOptions = {}): Promise<RunningBrowser> {
  const executablePath = await findBrowser();
  const { default: puppeteer } = await import('puppeteer');
  // Chrome refuses to run its sandbox as root, and CI containers forbid the namespaces that it needs.
  const sandboxless = process.platform === 'linux' && (process.getuid?.() === 0 || Boolean(process.env.CI));
  return puppeteer.launch({
    executablePath,
    headless: !options.headed,
    // Over a pipe the browser ends when this process does, however it ends: nothing is left running.
    pipe: true,
    // Ctrl-C belongs to the command, which first asks the page for a checkpoint.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    // A training step on a software adapter may keep the page busy for minutes.
    protocolTimeout: 0,
    defaultViewport: options.headed ? null : { width: 1280, height: 800 },
    args: [
      ...(sandboxless ? ['--no-sandbox'] : []),
      // Lets a machine without a GPU, or with a driver that Chrome does not trust, have an adapter all the same.
      '--enable-unsafe-webgpu',
      '--disable-dawn-features=timestamp_quantization',
      // Without it, Chrome takes WebGPU away from a page after the GPU process has crashed twice.
      '--disable-domain-blocking-for-3d-apis',
      // And without this, it gives the GPU up altogether after a few crashes.
      '--disable-gpu-process-crash-limit',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      ...(options.canvases && !hasGpu()
        ? ['--use-vulkan=swiftshader', '--enable-features=Vulkan', '--use-angle=vulkan']
        : []),
    ],
  });
}

function say(line: string): void {
  console.error(`glia: ${line}`);
}

function cacheFolder(): string {
  return process.env.PUPPETEER_CACHE_DIR || join(homedir(), '.cache', 'puppeteer');
}

const localSources: BrowserSources = {
  async cached() {
    const { Browser, getInstalledBrowsers, getVersionComparator } = await import('@puppeteer/browsers');
    const byVersion = getVersionComparator(Browser.CHROME);
    return (await getInstalledBrowsers({ cacheDir: cacheFolder() }))
      .filter(({ browser, executablePath }) => browser === Browser.CHROME && existsSync(executablePath))
      .sort((a, b) => byVersion(b.buildId, a.buildId))
      .find(({ executablePath }) => starts(executablePath))?.executablePath;
  },

  async system() {
    return systemCandidates().find((path) => existsSync(path) && starts(path));
  },

  async download() {
    // Which Chrome this Puppeteer is made for: its core has it typed.
    const { PUPPETEER_REVISIONS } = await import('puppeteer-core/internal/revisions.js');
    const { Browser, install } = await import('@puppeteer/browsers');
    say('no Chrome or Chromium found; downloading Chrome …');
    // A blocked network may let the connection hang without a word, so a minute without a byte ends the attempt.
    let stalled: NodeJS.Timeout | undefined;
    let shown = 0;
    const download = (giveUp: (reason: Error) => void) => {
      const arm = () => {
        clearTimeout(stalled);
        stalled = setTimeout(() => giveUp(new Error('nothing arrived for a minute')), 60_000);
      };
      arm();
      return install({
        browser: Browser.CHROME,
        buildId: PUPPETEER_REVISIONS.chrome,
        cacheDir: cacheFolder(),
        downloadProgressCallback(loaded, total) {
          arm();
          const percent = Math.floor((loaded / total) * 10) * 10;
          if (percent > shown) say(`downloaded ${percent} % of ${Math.round(total / 1e6)} MB`);
          shown = Math.max(shown, percent);
        },
      });
    };
    try {
      const { executablePath } = await new Promise<{ executablePath: string }>((resolve, reject) => {
        download(reject).then(resolve, reject);
      });
      if (starts(executablePath)) return executablePath;
      say('the downloaded Chrome does not start here (libraries that it needs are missing)');
    } catch {
      say('the download did not work');
    } finally {
      clearTimeout(stalled);
    }
    return undefined;
  },

  async packaged() {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
    // Ubuntu's package of that name only calls for the snap store; it is tried all the same, and judged by the result.
    const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
    if (!/^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(release)) return undefined;
    say('installing the chromium package (apt-get) …');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'chromium']]) {
      const { status, stderr } = spawnSync('apt-get', ['-qq', ...args], { env, encoding: 'utf8' });
      if (status !== 0) say(`apt-get ${args[0]} failed: ${stderr?.trim().split('\n').at(-1) ?? 'it is not there'}`);
    }
    return localSources.system();
  },
};

/** Chromium for Debian and Ubuntu is a script that may be there without its browser, so existence proves little. */
function starts(path: string): boolean {
  // Elsewhere --version opens a window, and such stand-ins are unknown.
  return process.platform !== 'linux' || spawnSync(path, ['--version'], { timeout: 20_000 }).status === 0;
}

function systemCandidates(): string[] {
  if (process.platform === 'darwin') {
    const names = ['Google Chrome', 'Chromium', 'Microsoft Edge'];
    return ['/Applications', join(homedir(), 'Applications')].flatMap((folder) =>
      names.map((name) => join(folder, `${name}.app`, 'Contents', 'MacOS', name)),
    );
  }
  if (process.platform === 'win32') {
    const { LOCALAPPDATA, PROGRAMFILES, 'PROGRAMFILES(X86)': programFiles86 } = process.env;
    const names = ['Google/Chrome/Application/chrome.exe', 'Microsoft/Edge/Application/msedge.exe'];
    return [PROGRAMFILES, programFiles86, LOCALAPPDATA].flatMap((folder) =>
      folder ? names.map((name) => join(folder, name)) : [],
    );
  }
  const names = ['google-chrome-stable', 'google-chrome', 'chromium', 'chromium-browser', 'microsoft-edge-stable'];
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/opt/google/chrome', '/snap/bin'];
  return names.flatMap((name) => folders.filter(Boolean).map((folder) => join(folder, name)));
}
