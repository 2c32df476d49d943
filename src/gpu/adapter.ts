// What there is to run on: a device asked for with the features and limits that are used, and what its adapter says of itself.
import { OptionError, UnsupportedError } from '../errors.ts';

export interface GpuOptions {
  /** Where to ask: `navigator.gpu` by default; in Node, what a WebGPU implementation gives. */
  readonly gpu?: GPU;
  readonly powerPreference?: GPUPowerPreference;
  /**
   * What browsers offer only as an experiment, and so may change: `subgroup-matrix` for Chromium's products of small
   * matrices in hardware (Chrome wants --enable-unsafe-webgpu for it). Used where the adapter has it, and only while the
   * kernels prove right on it; `gpu.has('chromium-experimental-subgroup-matrix')` tells whether it is there.
   */
  readonly experimental?: readonly 'subgroup-matrix'[];
}

/** The feature's name, which WebGPU's types do not know. */
export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

/** Its name, which WebGPU's types do not know yet: kernels say how large their subgroups are to be. */
export const SUBGROUP_SIZE_CONTROL = 'subgroup-size-control' as GPUFeatureName;

/** Features that are used where they are there. */
const FEATURES: readonly GPUFeatureName[] = ['timestamp-query', 'subgroups', 'shader-f16', SUBGROUP_SIZE_CONTROL];

/** Limits that are raised as far as the adapter goes; the defaults are enough to run. */
export const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
] as const;

export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Runs on the CPU. */
  readonly software: boolean;
  /** Subgroup size if all subgroups are of one size, else 0. */
  readonly subgroupSize: number;
  readonly smallestSubgroup: number;
  readonly largestSubgroup: number;
  /** Configurations of subgroup matrices. */
  readonly matrices: readonly {
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }[];
}

type AdapterInfo = Partial<GPUAdapterInfo> & { readonly subgroupMatrixConfigs?: AdapterDescription['matrices'] };

/** What Glia makes of what an adapter says of itself. */
export function describeAdapter(info: AdapterInfo | undefined): AdapterDescription {
  const vendor = info?.vendor ?? '';
  const architecture = info?.architecture ?? '';
  const description = [info?.description, info?.device].filter(Boolean).join(' ');
  const software =
    info?.isFallbackAdapter === true ||
    /swiftshader|llvmpipe|lavapipe|software/i.test(`${architecture} ${description}`);
  const subgroupSize =
    info?.subgroupMinSize && info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize : 0;
  const { subgroupMinSize: smallestSubgroup = 0, subgroupMaxSize: largestSubgroup = 0 } = info ?? {};
  const { subgroupMatrixConfigs: matrices = [] } = info ?? {};
  return { vendor, architecture, description, software, subgroupSize, smallestSubgroup, largestSubgroup, matrices };
}

interface Requested {
  readonly device: GPUDevice;
  readonly info: AdapterInfo | undefined;
  readonly implementation: GPU;
}

/** @throws UnsupportedError if there is no WebGPU, no adapter, or no device to be had */
export async function requestDevice(options: GpuOptions): Promise<Requested> {
  const gpu = options.gpu ?? (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) {
    const insecure = globalThis.isSecureContext === false;
    const inNode = globalThis.isSecureContext === undefined;
    const cure = inNode
      ? "outside of a browser give an implementation, such as Gpu.request({ gpu: create([]) }) with npm's webgpu"
      : insecure
        ? 'serve the page over https or from localhost'
        : 'use a browser with WebGPU, such as Chrome 113 or later';
    throw new UnsupportedError(`no WebGPU here: ${cure}`);
  }
  const { powerPreference = 'high-performance', experimental = [] } = options;
  const unknown = experimental.find((name) => name !== 'subgroup-matrix');
  if (unknown) throw new OptionError(`no experiment is called ${unknown}; there is subgroup-matrix`);
  const adapter = await gpu.requestAdapter({ powerPreference }).catch(() => null);
  if (!adapter) {
    throw new UnsupportedError(
      'WebGPU has no adapter: update the GPU driver, or start Chrome with --enable-unsafe-webgpu to run on the CPU',
    );
  }
  const requiredLimits: Record<string, number> = {};
  for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = [...FEATURES, ...(experimental.length > 0 ? [SUBGROUP_MATRIX] : [])].filter((name) =>
    adapter.features.has(name),
  );
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  } catch (error) {
    throw new UnsupportedError(`the WebGPU adapter gives no device: ${messageOf(error)}`, { cause: error });
  }
  return { device, info: adapter.info, implementation: gpu };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
