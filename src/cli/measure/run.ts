// One phase on one WebGPU implementation: its results go into a JSON file as they come, its lines to standard output.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Gpu } from '../../gpu/gpu.ts';
import { PHASES, type PhaseName } from './phases.ts';

/** What a WebGPU adapter says of itself, and what PyTorch's users would ask first. */
export async function describeAdapter(webgpu: GPU): Promise<Record<string, unknown> | undefined> {
  const adapter = await webgpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return undefined;
  const { vendor, architecture, device, description } = adapter.info;
  const limits = [
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxStorageBuffersPerShaderStage',
    'maxStorageBufferBindingSize',
    'maxBufferSize',
  ] as const;
  return {
    ...{ vendor, architecture, device, description },
    limits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
    features: [...adapter.features],
  };
}

/** @returns whether the phase ended well */
export async function runPhase(name: PhaseName, webgpu: GPU, folder: string): Promise<boolean> {
  mkdirSync(folder, { recursive: true });
  const began = performance.now();
  const say = (line: string) => console.log(`[${((performance.now() - began) / 1000).toFixed(1)} s] ${line}`);
  const results: Record<string, unknown> = {};
  const keep = (key: string, value: unknown) => {
    results[key] = value;
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 1)}\n`);
  };
  const gpu = await Gpu.request({ gpu: webgpu, ...(name === 'half' && { experimental: ['subgroup-matrix'] }) });
  keep('adapter', await describeAdapter(webgpu));
  try {
    await PHASES[name].run({ gpu, webgpu, say, keep });
    return !(results.failed as unknown[] | undefined)?.length;
  } catch (error) {
    keep('error', String((error as Error).stack ?? error));
    say(`${name} FAILED: ${String(error)}`);
    return false;
  } finally {
    gpu.destroy();
  }
}
