// Adapters that are described, and need not be there: what the lowering of random graphs is checked for.
import { type AdapterTraits, DEFAULT_LIMITS, type DeviceLimits } from '../../src/ops/tensor.ts';

const GENEROUS: DeviceLimits = {
  ...DEFAULT_LIMITS,
  maxStorageBuffersPerShaderStage: 16,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupSizeY: 1024,
  maxComputeWorkgroupStorageSize: 65536,
  maxStorageBufferBindingSize: 2 ** 31,
  maxBufferSize: 2 ** 32,
};

export interface Adapter extends AdapterTraits {
  readonly name: string;
}

/** Software and not; five sizes of subgroups; 8 and 16 storage buffers; default limits and generous ones. */
export const ADAPTERS: readonly Adapter[] = [true, false].flatMap((software) =>
  [0, 4, 8, 32, 64].flatMap((subgroupSize) =>
    [8, 16].flatMap((buffers) =>
      [DEFAULT_LIMITS, GENEROUS].map((limits) => ({
        name: `${software ? 'software' : 'GPU'}, subgroups of ${subgroupSize}, ${buffers} buffers, ${limits === GENEROUS ? 'generous' : 'default'} limits`,
        software,
        subgroupSize,
        f16: true,
        limits: { ...limits, maxStorageBuffersPerShaderStage: buffers },
      })),
    ),
  ),
);
