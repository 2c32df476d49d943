// What this adapter can do at best, measured: bytes a second by copying, operations a second in registers.
import copyShader from '../../shaders/ceilings/copy.wgsl?raw';
import fmaShader from '../../shaders/ceilings/fma.wgsl?raw';
import type { Gpu } from '../gpu/gpu.ts';
import { specialise } from '../gpu/specialise.ts';
import { timePasses } from './timer.ts';

export interface Ceilings {
  /** Gigabytes a second, read and written. */
  readonly gigabytesPerSecond: number;
  /** Thousand million f32 operations a second, a multiply-add as two. */
  readonly gigaflops: number;
}

const REPEATS = 7;
const PER_THREAD = 8;
const STEPS = 512;
const CHAINS = 8;

/** Measures both ceilings; takes some tens of milliseconds on a GPU, and a second or so on a CPU. */
export async function measureCeilings(gpu: Gpu): Promise<Ceilings> {
  const { software } = gpu.adapter;
  // Beyond what caches hold, where there is memory for it.
  const bytes = software ? 2 ** 24 : Math.min(2 ** 28, gpu.device.limits.maxStorageBufferBindingSize);
  const threads = software ? 2 ** 13 : 2 ** 18;
  const usage = 0x80;
  const x = gpu.createBuffer({ label: 'ceilings, source', size: bytes, usage });
  const y = gpu.createBuffer({ label: 'ceilings, target', size: bytes, usage });
  try {
    const groups = Math.ceil(bytes / 16 / 64 / PER_THREAD);
    const copy = await kernel(gpu, copyShader, { COUNT: bytes / 16, PER_THREAD }, x, y, spread(groups));
    const fma = await kernel(gpu, fmaShader, { STEPS, CHAINS }, x, y, [threads / 64, 1]);
    const passes = Array.from({ length: REPEATS + 1 }, () => [copy, fma]).flat();
    const times = (await timePasses(gpu, passes)).map(({ ms }) => ms).slice(2);
    // A ceiling is what was reached at best, not as a rule.
    const of = (offset: number) => Math.min(...times.filter((_, i) => i % 2 === offset));
    return {
      gigabytesPerSecond: (2 * bytes) / of(0) / 1e6,
      gigaflops: (threads * 8 * CHAINS * STEPS) / of(1) / 1e6,
    };
  } finally {
    x.destroy();
    y.destroy();
  }
}

function spread(groups: number): [number, number] {
  const rows = Math.ceil(groups / 65535);
  return [Math.ceil(groups / rows), rows];
}

async function kernel(
  gpu: Gpu,
  shader: string,
  constants: Record<string, number>,
  x: GPUBuffer,
  y: GPUBuffer,
  workgroups: readonly [number, number],
) {
  const pipeline = await gpu.pipeline(specialise(shader, { constants }), [false, true], 'ceilings');
  const group = gpu.device.createBindGroup({
    layout: gpu.bindGroupLayout([false, true]),
    entries: [x, y].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  return {
    record(pass: GPUComputePassEncoder) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    },
  };
}
