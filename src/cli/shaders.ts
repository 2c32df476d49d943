// Compiles every shader as it stands in the browser, so that a mistake in WGSL is told with its file and line.
import { readdirSync, readFileSync } from 'node:fs';
import type { ViteDevServer } from 'vite';
import { UnsupportedError } from '../errors.ts';
import { launchBrowser } from './browser.ts';

interface Shader {
  path: string;
  code: string;
}

interface Verdict {
  /** `path:line:column: message`, ready to print. */
  errors: string[];
  /** What could not be judged here, because this adapter lacks a feature that the shader enables. */
  notes: string[];
}

/** Compiles shaders/**, each as a module and each of its entry points as a pipeline. */
export async function compileShaders(server: ViteDevServer): Promise<Verdict & { count: number }> {
  const shaders: Shader[] = readdirSync('shaders', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.wgsl'))
    .sort()
    .map((name) => ({ path: `shaders/${name.replaceAll('\\', '/')}`, code: readFileSync(`shaders/${name}`, 'utf8') }));
  await server.listen();
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    // Any file will do: WebGPU only wants the page to come from a local or secure address.
    await page.goto(new URL('package.json', server.resolvedUrls?.local[0]).href);
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
  for (const { path, code } of shaders) {
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
      verdict.errors.push(`${path}:${lineNum}:${linePos}: ${message}`);
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
