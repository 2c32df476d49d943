// WebGPU in Node: Dawn, from the npm package `webgpu`, on a Vulkan driver that is found or named. So a GPU is measured
// without a browser, and drivers are tried that a browser does not take.
import { existsSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { OptionError, UnsupportedError } from '../../errors.ts';
import { findBrowser } from '../browser.ts';
import { installPackages } from '../npm.ts';
import { lavapipeFile, MESA } from './mesa.ts';

/** Beside these, a driver may be named by the path of its JSON file. */
export const DRIVERS = ['system', 'lavapipe', 'swiftshader'] as const;

/** For the help of commands that run in Node. */
export const DRIVER_HELP = `Vulkan driver: ${DRIVERS.join(', ')}, or the path of a driver's .json file`;

/** 130 MB when unpacked, so that no install of this project has it. */
export const DAWN_VERSION = '0.6.2';
const FOLDER = `node_modules/.dawn-${DAWN_VERSION}`;

const SWIFTSHADER = 'vk_swiftshader_icd.json';
const LOADER = 'libvulkan.so.1';

interface DawnPackage {
  /** Flags are `NAME=VALUE`. */
  create(flags: readonly string[]): GPU;
  /** WebGPU's classes and namespaces, by name. */
  readonly globals: object;
}

/** Where the package `webgpu` lies; fetches it if need be. @throws UnsupportedError */
export function dawnPackage(): string {
  const path = join(FOLDER, 'node_modules', 'webgpu');
  if (existsSync(path)) return resolve(path);
  console.error(`glia: fetching Dawn for Node, webgpu@${DAWN_VERSION} (once, some 30 MB) …`);
  const folder = `${FOLDER}.new`;
  try {
    rmSync(folder, { recursive: true, force: true });
    installPackages(folder, [`webgpu@${DAWN_VERSION}`]);
    renameSync(folder, FOLDER);
  } catch (error) {
    const reason = (error as Error).message;
    throw new UnsupportedError(`Dawn for Node cannot be had: npm install webgpu@${DAWN_VERSION} failed: ${reason}`);
  }
  return resolve(path);
}

/** The folder with a browser's own software driver and Vulkan loader. @throws UnsupportedError */
export async function swiftshaderFolder(): Promise<string> {
  const browser = dirname(realpathSync(await findBrowser()));
  const folders = [browser, '/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];
  const folder = folders.find((path) => existsSync(join(path, SWIFTSHADER)));
  if (!folder) throw new UnsupportedError(`no ${SWIFTSHADER} beside the browser in ${browser}: install Chromium`);
  return folder;
}

/**
 * Starts Dawn on the driver of that name or file. Without one: on a GPU if the system's drivers know of one, else on
 * lavapipe if there is one that Dawn takes, else on SwiftShader. What WebGPU defines globally in a page is so afterwards.
 *
 * It is started once for each driver, and kept: with what `create` returned, Dawn would free the devices that it gave, at whatever
 * moment that is collected.
 *
 * @throws OptionError if there is no such driver, UnsupportedError if it gives no adapter
 */
export async function startDawn(driver?: string): Promise<GPU> {
  let gpu = started.get(driver);
  if (!gpu) {
    gpu = start(driver);
    started.set(driver, gpu);
    gpu.catch(() => started.delete(driver));
  }
  return setGlobally(await gpu);
}

const started = new Map<string | undefined, Promise<GPU>>();

async function start(driver: string | undefined): Promise<GPU> {
  const { create, globals } = (await import(
    /* @vite-ignore */ pathToFileURL(join(dawnPackage(), 'index.js')).href
  )) as DawnPackage;
  const gpu = await (driver === undefined ? anyDriver(create) : namedDriver(create, driver));
  Object.assign(globalThis, globals);
  if ((await gpu.requestAdapter())?.info.isFallbackAdapter) pace();
  return gpu;
}

function setGlobally(gpu: GPU): GPU {
  // Node 20 has no navigator; later ones call themselves so.
  const { navigator = { userAgent: `Node.js/${process.versions.node.split('.')[0]}` } } = globalThis as {
    navigator?: object;
  };
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  return gpu;
}

type Create = DawnPackage['create'];

let paced = false;
/** Between two looks at whether the device is done: milliseconds. */
const PACE_MS = 0.2;

/**
 * While something is awaited, Dawn looks for it in every turn of the event loop, and so keeps a core busy that a driver
 * on the CPU wants for itself: products took up to three times as long. It asks for its turns by `setImmediate`; with
 * this it sleeps before each.
 */
function pace(): void {
  if (paced) return;
  paced = true;
  const { setImmediate } = globalThis;
  const never = new Int32Array(new SharedArrayBuffer(4));
  const paceful = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    setImmediate(() => {
      Atomics.wait(never, 0, 0, PACE_MS);
      callback(...args);
    });
  globalThis.setImmediate = Object.assign(paceful, setImmediate) as typeof setImmediate;
}

/** Drivers that the user has chosen for every program. */
const own = process.env.VK_DRIVER_FILES;

/** An instance that has an adapter; the environment is read when it is first asked for one. */
async function open(create: Create, file?: string): Promise<GPU | undefined> {
  if (file !== undefined) process.env.VK_DRIVER_FILES = file;
  else if (own === undefined) delete process.env.VK_DRIVER_FILES;
  else process.env.VK_DRIVER_FILES = own;
  // Mesa complains without one.
  process.env.XDG_RUNTIME_DIR ??= tmpdir();
  const gpu = create(['disable-dawn-features=timestamp_quantization']);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  return adapter ? gpu : undefined;
}

async function anyDriver(create: Create): Promise<GPU> {
  if (process.platform !== 'linux' || loads(LOADER)) {
    // Vulkan's loader lists lavapipe with the others, and Dawn takes a GPU if there is one.
    const found = await open(create);
    if (found) return found;
  }
  return namedDriver(create, 'swiftshader');
}

async function namedDriver(create: Create, driver: string): Promise<GPU> {
  if (process.platform !== 'linux' && driver !== 'system') {
    throw new OptionError(`--driver ${driver}: drivers are chosen on Linux; here it is the system's`);
  }
  let file: string | undefined;
  let cure = 'install or update the driver of your GPU';
  if (driver === 'lavapipe') {
    cure = `install ${MESA}`;
    file = lavapipeFile();
    if (!file) throw new UnsupportedError(`there is no lavapipe here: ${cure}`);
  } else if (driver === 'swiftshader') {
    const folder = await swiftshaderFolder();
    file = join(folder, SWIFTSHADER);
    if (!loads(LOADER)) loads(join(folder, LOADER));
  } else if (driver !== 'system') {
    file = resolve(driver);
    if (!existsSync(file)) throw new OptionError(`--driver ${driver}: no such file; there are ${DRIVERS.join(', ')}`);
  }
  const found = await open(create, file);
  if (!found) throw new UnsupportedError(`Dawn gets no adapter from the Vulkan driver ${file ?? driver}: ${cure}`);
  return found;
}

/** Keeps a library that is only tried, and not a module of Node's, in the process. */
const RTLD_NODELETE = 0x1000;

/** Whether a library can be loaded. It then stays, and is what Dawn gets when it asks for the library of that name. */
function loads(library: string): boolean {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return true;
  } catch (error) {
    return /self-register/.test((error as Error).message);
  }
}
