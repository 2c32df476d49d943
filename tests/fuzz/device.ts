// Devices for random graphs, in Node: drivers on the CPU as they are, and as if they were GPUs, so that GPU kernels are planned for them.
import { startDawn } from '../../src/cli/dawn/dawn.ts';
import { Gpu } from '../../src/gpu/gpu.ts';

/** What a graph is planned for. */
export interface Plan {
  readonly name: string;
  readonly driver: 'lavapipe' | 'swiftshader';
  readonly software: boolean;
  readonly subgroupSize: number;
  readonly storageBuffers: 8 | 16;
}

/** Subgroups of eight lanes on lavapipe, of four on SwiftShader: lavapipe takes minutes to compile kernels with barriers in loops. */
export const PLANS: readonly Plan[] = [
  { name: 'software', driver: 'lavapipe', software: true, subgroupSize: 8, storageBuffers: 16 },
  {
    ...{ name: 'software, 8 buffers, no subgroups', driver: 'lavapipe' },
    ...{ software: true, subgroupSize: 0, storageBuffers: 8 },
  },
  { name: 'GPU', driver: 'swiftshader', software: false, subgroupSize: 4, storageBuffers: 16 },
  {
    ...{ name: 'GPU, 8 buffers, no subgroups', driver: 'swiftshader' },
    ...{ software: false, subgroupSize: 0, storageBuffers: 8 },
  },
];

/** A device that says of itself what the plan says. */
export async function deviceFor({ driver, software, subgroupSize, storageBuffers }: Plan): Promise<Gpu> {
  const adapter = await (await startDawn(driver)).requestAdapter();
  if (!adapter) throw new Error(`${driver} gives no adapter`);
  const features = (['subgroups', 'shader-f16'] as GPUFeatureName[]).filter((name) => adapter.features.has(name));
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredLimits = {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxStorageBuffersPerShaderStage: storageBuffers,
  };
  const gpu = Gpu.from(await adapter.requestDevice({ requiredFeatures: features, requiredLimits }));
  Object.defineProperty(gpu, 'adapter', { value: { ...gpu.adapter, software, subgroupSize } });
  return gpu;
}
