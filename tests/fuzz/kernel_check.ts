// Holds the kernels of a plan against what WebGPU and the adapter allow.

import type { Allocation } from '../../src/graph/memory.ts';
import type { Plan, PlannedKernel } from '../../src/graph/plan.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import { sizeOf } from './values.ts';
import { Wgsl } from './wgsl.ts';

/** Bytes of a buffer, from `start` to `end`. */
interface Range {
  readonly buffer: string;
  readonly start: number;
  readonly end: number;
}

const BYTES = { f32: 4, u32: 4, f16: 2, u8: 1 };

function bytesOf({ shape, dtype }: Tensor): number {
  return Math.max(4, Math.ceil((sizeOf(shape) * BYTES[dtype]) / 4) * 4);
}

export function rangeOf(place: Allocation, tensor: Tensor): Range {
  const range = (buffer: string, offset: number) => ({ buffer, start: 4 * offset, end: 4 * offset + bytesOf(tensor) });
  if (place.kind === 'input') return range(`input ${place.name}`, 0);
  if (place.kind === 'slot') return range(`slot ${place.slot}`, place.offset);
  return range(`storage ${place.variable.place().id}`, place.variable.offset);
}

/** Of matmuls with less work than this, what a tile wastes is not felt. */
const WORK = 2 ** 18;
const MOST_WASTE = 4;

/** What a kernel does that it must not, one line each. */
export function violations({ lowered, code }: PlannedKernel, { adapter, memory }: Plan): string[] {
  const { limits } = adapter;
  const found: string[] = [];
  const wgsl = new Wgsl(code);
  const hold = (what: string, value: number, limit: number) => {
    if (!(value <= limit))
      found.push(`${lowered.label} (${lowered.variant}): ${what} is ${value}, and at most ${limit}`);
  };
  for (const [axis, count] of lowered.workgroups.entries()) {
    hold(`workgroups along ${'xyz'[axis]}`, count, limits.maxComputeWorkgroupsPerDimension);
    if (!(Number.isInteger(count) && count >= 1))
      found.push(`${lowered.label}: ${count} workgroups along ${'xyz'[axis]}`);
  }
  const [x, y, z] = wgsl.workgroupSize;
  hold('the workgroup along x', x, limits.maxComputeWorkgroupSizeX);
  hold('the workgroup along y', y, limits.maxComputeWorkgroupSizeY);
  hold('the workgroup along z', z, limits.maxComputeWorkgroupSizeZ);
  hold('invocations', x * y * z, limits.maxComputeInvocationsPerWorkgroup);
  hold('workgroup memory', wgsl.workgroupMemory, limits.maxComputeWorkgroupStorageSize);
  hold('bindings', lowered.bindings.length, limits.maxStorageBuffersPerShaderStage);
  found.push(...bindingProblems(lowered, wgsl, memory.slots, limits.maxStorageBufferBindingSize));
  found.push(...wasteOf(lowered));
  return found;
}

function bindingProblems(
  { label, bindings }: PlannedKernel['lowered'],
  wgsl: Wgsl,
  slots: readonly number[],
  mostBytes: number,
): string[] {
  const found: string[] = [];
  const declared = wgsl.buffers;
  if (declared.length !== bindings.length)
    found.push(`${label}: ${declared.length} buffers declared, ${bindings.length} bound`);
  const ranges = bindings.map(({ allocation, tensor }) => rangeOf(allocation, tensor));
  for (const [i, { start, end, buffer }] of ranges.entries()) {
    const { allocation, writable } = bindings[i]!;
    const size = end - start;
    if (start % 256) found.push(`${label}: binding ${i} begins at byte ${start} of ${buffer}`);
    if (size > mostBytes) found.push(`${label}: binding ${i} is ${size} bytes, and at most ${mostBytes}`);
    if ((declared[i]?.bytes ?? 0) > size)
      found.push(`${label}: binding ${i} has ${size} bytes for ${declared[i]!.bytes} declared`);
    if (declared[i] && declared[i].writable !== writable)
      found.push(`${label}: binding ${i} is declared otherwise than bound`);
    if (allocation.kind === 'slot' && end > 4 * slots[allocation.slot]!)
      found.push(
        `${label}: binding ${i}, ${bindings[i]!.tensor}, bytes ${start} to ${end}, reaches past ${buffer} of ${4 * slots[allocation.slot]!}`,
      );
    for (let j = 0; j < i; j++) {
      const other = ranges[j]!;
      if (other.buffer !== buffer || (!writable && !bindings[j]!.writable)) continue;
      const apart = other.end <= start || end <= other.start;
      if (writable !== bindings[j]!.writable)
        found.push(`${label}: ${buffer} is bound for reading (${writable ? j : i}) and for writing`);
      else if (!apart)
        found.push(`${label}: ${buffer} is bound for writing twice, at bytes ${start} and ${other.start}`);
    }
  }
  return found;
}

/** What the tiles of a matmul cover that is no result. */
function wasteOf({ constants, label, variant, group }: PlannedKernel['lowered']): string[] {
  const { M, N, K, TILE_M, TILE_N, TILE_N4 } = constants as Record<string, number>;
  if (!M || !N || !K || !TILE_M) return [];
  const across = TILE_N ?? 4 * TILE_N4!;
  const batch = group.kernelOps[0]!.size / (M * N);
  if (batch * M * N * K < WORK) return [];
  const waste = (Math.ceil(M / TILE_M) * TILE_M * Math.ceil(N / across) * across) / (M * N);
  return waste < MOST_WASTE
    ? []
    : [`${label} (${variant}): tiles cover ${waste.toFixed(1)} times the ${batch} × ${M}×${N} results (K = ${K})`];
}
