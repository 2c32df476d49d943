// Compiles every shader as it stands in the browser, so that a mistake in WGSL is told with its file and line.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { UnsupportedError } from '../errors.ts';
import { launchBrowser } from './browser.ts';
import type { PageServer } from './page_server.ts';

interface Shader {
  path: string;
  code: string;
  /** Where each line of the code stands, since some are of texts that several shaders share. */
  lines: { path: string; line: number }[];
}

interface Verdict {
  /** `path:line:column: message`, ready to print. */
  errors: string[];
  /** What could not be judged here, because this adapter lacks a feature that the shader enables. */
  notes: string[];
}

/** Texts that shaders include; none is a shader by itself. */
const SHARED = 'shaders/include';

/** A shader with what it includes. @throws Error with file and line if that is not there */
function whole(path: string): Shader {
  const lines = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .flatMap((text, i) => {
      const name = /^\s*\/\/ include (\w+)$/.exec(text)?.[1];
      if (name === undefined) return [{ text, at: { path, line: i + 1 } }];
      const shared = `${SHARED}/${name}.wgsl`;
      if (!existsSync(shared)) throw new Error(`${path}:${i + 1}:1: there is no ${shared}`);
      const inner = whole(shared);
      return inner.code.split('\n').map((text, j) => ({ text, at: inner.lines[j]! }));
    });
  return { path, code: lines.map(({ text }) => text).join('\n'), lines: lines.map(({ at }) => at) };
}

/** The shaders of shaders/**, each with what it includes. @throws Error for a shared text that is used by fewer than two */
export function readShaders(): Shader[] {
  const paths = readdirSync('shaders', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.wgsl'))
    .sort()
    .map((name) => `shaders/${name.replaceAll('\\', '/')}`);
  const shared = paths.filter((path) => path.startsWith(`${SHARED}/`));
  const shaders = paths.filter((path) => !shared.includes(path)).map(whole);
  const alone = shared.find(
    (text) => shaders.filter(({ lines }) => lines.some(({ path }) => path === text)).length < 2,
  );
  if (alone) throw new Error(`${alone}:1:1: fewer than two shaders include it`);
  return shaders;
}

/** Compiles shaders/**, each as a module and each of its entry points as a pipeline. */
export async function compileShaders(server: PageServer): Promise<Verdict & { count: number }> {
  const shaders = readShaders();
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(await server.page());
    const verdict = await page.evaluate(compileInPage, shaders);
    if (!verdict) throw new UnsupportedError('this browser offers no WebGPU adapter, so no shader can be compiled');
    return { ...verdict, count: shaders.length };
  } finally {
    await browser.close();
  }
}

/** Runs in the page, as text: it can use nothing of this file but its argument. */
async function compileInPage(shaders: Shader[]): Promise<Verdict | undefined> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return undefined;
  const optional = ['shader-f16', 'subgroups'] as GPUFeatureName[];
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupStorageSize } =
    adapter.limits;
  const { maxStorageBuffersPerShaderStage } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: optional.filter((feature) => adapter.features.has(feature)),
    requiredLimits: {
      maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX,
      maxComputeWorkgroupStorageSize,
      maxStorageBuffersPerShaderStage,
    },
  });
  const verdict: Verdict = { errors: [], notes: [] };
  for (const { path, code, lines } of shaders) {
    const missing = [...code.matchAll(/^\s*enable\s+([\w\s,]+);/gm)]
      .flatMap(([, names = '']) => names.split(',').map((name) => name.trim()))
      .map((name) => (name === 'f16' ? 'shader-f16' : name))
      .filter((feature) => !device.features.has(feature as GPUFeatureName));
    if (missing.length > 0) {
      verdict.notes.push(`${path} was not compiled: this adapter has no ${missing.join(', ')}`);
      continue;
    }
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    await device.popErrorScope();
    const failures = messages.filter(({ type }) => type === 'error');
    for (const { lineNum, linePos, message } of failures) {
      const at = lines[lineNum - 1] ?? { path, line: lineNum };
      verdict.errors.push(`${at.path}:${at.line}:${linePos}: ${message}`);
    }
    if (failures.length > 0) continue;
    for (const [, entryPoint = ''] of code.matchAll(/@compute\b[^{;]*?\bfn\s+(\w+)/g)) {
      await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint } }).catch((error) => {
        verdict.errors.push(`${path}:1:1: ${entryPoint}: ${String(error.message).split('\n')[0]}`);
      });
    }
  }
  return verdict;
}
