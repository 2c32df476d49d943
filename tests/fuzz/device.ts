// Devices for random graphs: lavapipe in Node, as it is, and as if it were a GPU, so that GPU kernels are planned for it.
import { startDawn } from '../../src/cli/dawn/dawn.ts';
import { Gpu } from '../../src/gpu/gpu.ts';

/** What a graph is planned for. */
export interface Plan {
  readonly name: string;
  readonly software: boolean;
  readonly subgroupSize: number;
  readonly storageBuffers: 8 | 16;
}

/** Lavapipe's subgroups have eight lanes. */
export const PLANS: readonly Plan[] = [
  { name: 'software', software: true, subgroupSize: 8, storageBuffers: 16 },
  { name: 'software, 8 buffers, no subgroups', software: true, subgroupSize: 0, storageBuffers: 8 },
  { name: 'GPU', software: false, subgroupSize: 8, storageBuffers: 16 },
  { name: 'GPU, 8 buffers, no subgroups', software: false, subgroupSize: 0, storageBuffers: 8 },
];

/** SwiftShader compiles kernels with barriers in loops, as GPUs want them, many times as fast; it has no f16, and fewer buffers. */
const DRIVER = process.env.GLIA_FUZZ_DRIVER ?? 'lavapipe';

/** A device on lavapipe, or another driver, that says of itself what the plan says, as far as the driver allows. */
export async function deviceFor({ software, subgroupSize, storageBuffers }: Plan): Promise<Gpu> {
  const adapter = await (await startDawn(DRIVER)).requestAdapter();
  if (!adapter) throw new Error(`${DRIVER} gives no adapter`);
  const features = (['subgroups', 'shader-f16'] as GPUFeatureName[]).filter((name) => adapter.features.has(name));
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredLimits = {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxStorageBuffersPerShaderStage: Math.min(storageBuffers, adapter.limits.maxStorageBuffersPerShaderStage),
  };
  const gpu = Gpu.from(await adapter.requestDevice({ requiredFeatures: features, requiredLimits }));
  Object.defineProperty(gpu, 'adapter', {
    value: { ...gpu.adapter, software, subgroupSize: subgroupSize && gpu.adapter.subgroupSize },
  });
  return gpu;
}
