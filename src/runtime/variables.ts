// Where variables live on a device: one buffer a block, made with the first values on first use.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { blockBytes, checkBlock } from '../graph/sizes.ts';
import type { Block, Variable } from '../ops/source.ts';
import { show } from '../ops/tensor.ts';
import { ARRAYS, type BufferRange, copyOut, type HostArray } from './readback.ts';

function create(gpu: Gpu, block: Block): GPUBuffer {
  checkBlock(block, gpu.device.limits);
  const buffer = gpu.createBuffer({
    label: block.variables
      .map(({ name }) => name)
      .join(', ')
      .slice(0, 80),
    size: blockBytes(block),
    // STORAGE, COPY_SRC and COPY_DST: the numbers are WebGPU's own, and in Node nobody declares the names.
    usage: 0x80 | 0x04 | 0x08,
    mappedAtCreation: true,
  });
  const bytes = new Uint8Array(buffer.getMappedRange());
  for (const variable of block.variables) {
    const data = variable.init?.();
    if (!data) continue;
    checkData(variable, data);
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), variable.offset * 4);
  }
  buffer.unmap();
  return buffer;
}

function checkData(variable: Variable, data: HostArray): void {
  const wanted = ARRAYS[variable.dtype];
  if (!(data instanceof wanted) || data.length !== variable.size) {
    const got = `${data.constructor.name} of ${data.length}`;
    throw new OptionError(
      `variable ${variable.name} holds ${variable.dtype}${show(variable.shape)}: it takes a ${wanted.name} of ${variable.size}, got a ${got}`,
    );
  }
}

/** Where a variable lies on this device. */
export function rangeOf(gpu: Gpu, variable: Variable): BufferRange {
  const block = variable.place();
  const buffer = gpu.cached(block, () => create(gpu, block));
  return { buffer, offset: variable.offset * 4, size: Math.max(4, variable.words * 4) };
}

/** The variable's value on this device, after all that was submitted before. */
export async function readVariable(gpu: Gpu, variable: Variable): Promise<HostArray> {
  const values = await copyOut(gpu, rangeOf(gpu, variable), variable.dtype);
  return values.subarray(0, variable.size);
}

/**
 * Sets a variable on this device, before all that is submitted later.
 *
 * @throws OptionError if the data do not fit
 */
export function writeVariable(gpu: Gpu, variable: Variable, data: HostArray): void {
  gpu.check();
  checkData(variable, data);
  const { buffer, offset } = rangeOf(gpu, variable);
  // A write must cover whole words.
  const padded = data.byteLength % 4 ? new Uint8Array(Math.ceil(data.byteLength / 4) * 4) : undefined;
  padded?.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  gpu.device.queue.writeBuffer(buffer, offset, (padded ?? data) as Uint8Array<ArrayBuffer>);
}

/**
 * Frees the memory of variables, and of those that were packed with them (all parameters of a model are); the next use
 * makes them anew, with their first values.
 */
export function freeVariables(gpu: Gpu, variables: Iterable<Variable>): void {
  for (const variable of variables) gpu.forget(variable.place());
}
