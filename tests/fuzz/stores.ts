// Counts how often each element of a kernel's results is stored: once, is what every kernel must do. A twin of the kernel counts,
// next to each store, at the same index; a race of two threads that store the same number would show nowhere else.
import type { Allocation, MemoryPlan } from '../../src/graph/memory.ts';
import type { PlannedKernel } from '../../src/graph/plan.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import { sizeOf } from './values.ts';
import { Wgsl } from './wgsl.ts';

export interface Twin {
  readonly code: string;
  /** Bytes of each binding, the counters' last. */
  readonly bytes: readonly number[];
  readonly writable: readonly boolean[];
  /** Of each binding that is written, where its counters begin, and how many they are. */
  readonly results: readonly Counted[];
}

interface Counted {
  readonly name: string;
  readonly from: number;
  readonly stores: number;
  /** From which store to which the results lie. What is between them is not the kernel's. */
  readonly results: readonly (readonly [number, number])[];
}

/** The end of the bracket that opens at `from`. */
function closing(code: string, from: number): number {
  for (let at = from, depth = 0; at < code.length; at++) {
    if (code[at] === '[') depth++;
    if (code[at] === ']' && --depth === 0) return at;
  }
  throw new Error(`nothing closes [ in ${code.slice(from, from + 80)}`);
}

/** The kernel with counters of its stores, in a further buffer. */
export function countingTwin({ group, lowered, code }: PlannedKernel, { allocations }: MemoryPlan): Twin {
  const { buffers } = new Wgsl(code);
  const results: Counted[] = [];
  const offsetOf = (allocation: Allocation | undefined) => (allocation?.kind === 'slot' ? allocation.offset : 0);
  let counters = 0;
  let twin = code;
  for (const { index, writable, type } of buffers) {
    if (!writable) continue;
    const width = /^array<vec4/.test(type) ? 4 : 1;
    const { tensor, allocation } = lowered.bindings[index]!;
    // Bytes are stored in words.
    const storesOf = ({ shape, dtype }: Tensor) => Math.ceil(sizeOf(shape) / (dtype === 'u8' ? 4 : width));
    const stores = storesOf(tensor);
    // Of several that are bound at once, those that the kernel computes.
    const parts = group.outputs.includes(tensor) ? [] : tensor.inputs.filter((part) => group.outputs.includes(part));
    const places = parts.map((part) => {
      const from = (offsetOf(allocations.get(part)) - offsetOf(allocation)) / width;
      return [from, from + storesOf(part)] as const;
    });
    const name = `buffer${index}`;
    let counted = '';
    let rest = twin;
    for (let at = rest.search(RegExp(`\\b${name}\\[`)); at >= 0; at = rest.search(RegExp(`\\b${name}\\[`))) {
      const open = at + name.length;
      const end = closing(rest, open);
      const isStore = rest.startsWith(' = ', end + 1);
      const count = `atomicAdd(&counts[${counters}u + min(u32(${rest.slice(open + 1, end)}), ${stores}u)], 1u); `;
      counted += `${rest.slice(0, at)}${isStore ? count : ''}${rest.slice(at, end + 1)}`;
      rest = rest.slice(end + 1);
    }
    twin = counted + rest;
    results.push({
      name: `${lowered.label} (${lowered.variant}), ${tensor}`,
      from: counters,
      stores,
      results: parts.length ? places : [[0, stores]],
    });
    // The last counts what is stored beyond the end.
    counters += stores + 1;
  }
  const binding = buffers.length;
  // Declared in front of the first buffer, behind all directives.
  const declaration = `@group(0) @binding(${binding}) var<storage, read_write> counts: array<atomic<u32>, ${counters}>;\n`;
  const first = twin.indexOf('@group(0) @binding(0) var<storage, ');
  return {
    code: twin.slice(0, first) + declaration + twin.slice(first),
    bytes: [...buffers.map(({ bytes }) => Math.max(4, Math.ceil(bytes / 4) * 4)), 4 * counters],
    writable: [...buffers.map(({ writable }) => writable), true],
    results,
  };
}

/** What a kernel stores more or less often than once, one line each. */
export async function storeProblems(device: GPUDevice, kernel: PlannedKernel, memory: MemoryPlan): Promise<string[]> {
  const twin = countingTwin(kernel, memory);
  device.pushErrorScope('validation');
  const [counted] = await Promise.allSettled([countsOf(device, twin, kernel.lowered.workgroups)]);
  const error = await device.popErrorScope();
  if (error) throw new Error(`the twin of ${kernel.lowered.label}: ${error.message}\n${twin.code}`);
  if (counted.status === 'rejected') throw counted.reason;
  return twin.results.flatMap(({ name, from, stores, results }) => {
    const own = counted.value.subarray(from, from + stores);
    const at = own.findIndex((count, i) => count !== (results.some(([first, end]) => first <= i && i < end) ? 1 : 0));
    const beyond = counted.value[from + stores]!;
    return [
      ...(at >= 0 ? [`${name}: store ${at} of ${stores} is made ${own[at]} times`] : []),
      ...(beyond > 0 ? [`${name}: ${beyond} stores lie beyond the end`] : []),
    ];
  });
}

/** The counters of a twin after a run on zeros. */
async function countsOf(
  device: GPUDevice,
  { code, bytes, writable }: Twin,
  workgroups: readonly [number, number, number],
): Promise<Uint32Array> {
  const layout = device.createBindGroupLayout({
    entries: writable.map((write, binding) => ({
      binding,
      visibility: 4,
      buffer: { type: write ? 'storage' : 'read-only-storage' },
    })),
  });
  const pipeline = await device.createComputePipelineAsync({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
  });
  const buffers = bytes.map((size) => device.createBuffer({ size, usage: 0x80 | 0x04 }));
  const read = device.createBuffer({ size: bytes.at(-1)!, usage: 0x01 | 0x08 });
  try {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...workgroups);
    pass.end();
    encoder.copyBufferToBuffer(buffers.at(-1)!, 0, read, 0, bytes.at(-1)!);
    device.queue.submit([encoder.finish()]);
    await read.mapAsync(1);
    return new Uint32Array(read.getMappedRange()).slice();
  } finally {
    for (const buffer of [...buffers, read]) buffer.destroy();
  }
}
