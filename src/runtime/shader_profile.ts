// Profiles compute shaders that are not Glia's: times, bytes and ceilings; of two, also whether their results agree.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { type Ceilings, measureCeilings } from './ceilings.ts';
import { type Command, record } from './dispatch.ts';
import { copyOut } from './readback.ts';
import { checkBindings, compileShader, layoutOf, type ShaderSource } from './shader_compile.ts';
import { type BindingDescription, bytesOf, compare, type Difference, valuesOf, viewOf } from './shader_data.ts';
import { countsFor, hasTimestamps, median, repeated, timePasses } from './timer.ts';

export interface ShaderProfileOptions {
  /** Rounds of measuring, in each of which every shader has its turn; the median counts. 15 by default. */
  readonly repeats?: number;
  /** Operations of one run, if the caller knows them. */
  readonly flops?: number;
}

export interface ShaderTimes {
  readonly name: string;
  readonly workgroups: readonly [number, number, number];
  /** Median, least and most of the rounds: milliseconds of one dispatch. */
  readonly ms: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Dispatches in a row that one time was taken over. */
  readonly dispatches: number;
  readonly gigabytesPerSecond: number;
  /** Share of the copy ceiling, from 0 to 1. */
  readonly copyShare: number;
  /** Given where the operations are known. */
  readonly gigaflops?: number;
  readonly arithmeticShare?: number;
}

export interface ShaderProfile {
  readonly adapter: string;
  readonly timestamps: boolean;
  readonly ceilings: Ceilings;
  /** Of all bound buffers, each once. */
  readonly bytes: number;
  readonly flops?: number;
  readonly shaders: readonly ShaderTimes[];
  /** Given where there are two. */
  readonly comparison?: {
    /** Time of the second as a multiple of the first's. */
    readonly ratio: number;
    readonly agree: boolean;
    /** One for each writable buffer. */
    readonly buffers: readonly Difference[];
  };
}

/** A pass lasts at least so long, so that what it takes to begin one does not show: milliseconds. */
const PASS_MS = 1;

/**
 * Measures one shader, or two by turns. Every time is taken from the same contents of the buffers on, and two shaders
 * are compared by what one dispatch of each makes of them.
 *
 * @throws WgslError with lines if the driver refuses a shader, OptionError if buffers or workgroups do not fit
 */
export async function profileShaders(
  gpu: Gpu,
  sources: readonly ShaderSource[],
  bindings: readonly BindingDescription[],
  { repeats = 15, flops }: ShaderProfileOptions = {},
): Promise<ShaderProfile> {
  if (sources.length < 1 || sources.length > 2) throw new OptionError('one shader is profiled, or two by turns');
  check(gpu, sources, bindings);
  const layouts = sources.map((source) => layoutOf(gpu, source, bindings));
  const pipelines = await Promise.all(sources.map((source, i) => compileShader(gpu, source, layouts[i]!)));
  const buffers = await gpu.guarded('the buffers', () => new Buffers(gpu, bindings, sources.length));
  try {
    const commands = sources.map(({ workgroups }, i): Command => {
      return { pipeline: pipelines[i]!, group: buffers.bind(layouts[i]!, i), workgroups };
    });
    const passes = commands.map((command) => ({ record: (pass: GPUComputePassEncoder) => record(pass, command) }));
    await gpu.guarded('the first run', async () => {
      buffers.reset();
      await timePasses(gpu, passes);
    });
    const differences = sources.length === 2 ? await buffers.compare() : [];
    const ceilings = await measureCeilings(gpu);
    const counts = await countsFor(gpu, passes, PASS_MS);
    const work = repeated(passes, counts);
    const times: number[][] = sources.map(() => []);
    for (let round = 0; round < repeats; round++) {
      buffers.reset();
      // Whoever comes second finds warm what both read: they take turns at that too.
      const order = round % 2 ? [...work.keys()].reverse() : [...work.keys()];
      const found = await timePasses(
        gpu,
        order.map((i) => work[i]!),
      );
      for (const [i, shader] of order.entries()) times[shader]!.push(found[i]!.ms / counts[shader]!);
    }
    gpu.check();
    const bytes = bindings.reduce((sum, binding) => sum + bytesOf(binding), 0);
    const shaders = sources.map(({ name, workgroups }, i): ShaderTimes => {
      const ms = median(times[i]!);
      const perSecond = (amount: number) => (ms > 0 ? amount / ms / 1e6 : 0);
      const gigabytesPerSecond = perSecond(bytes);
      return {
        name,
        workgroups,
        ms,
        minMs: Math.min(...times[i]!),
        maxMs: Math.max(...times[i]!),
        dispatches: counts[i]!,
        gigabytesPerSecond,
        copyShare: gigabytesPerSecond / ceilings.gigabytesPerSecond,
        ...(flops !== undefined && {
          gigaflops: perSecond(flops),
          arithmeticShare: perSecond(flops) / ceilings.gigaflops,
        }),
      };
    });
    const [first, second] = shaders;
    const comparison = second && {
      ratio: second.ms / first!.ms,
      agree: differences.every(({ agrees }) => agrees),
      buffers: differences,
    };
    return {
      adapter: gpu.name,
      timestamps: hasTimestamps(gpu),
      ceilings,
      bytes,
      ...(flops !== undefined && { flops }),
      shaders,
      ...(comparison && { comparison }),
    };
  } finally {
    buffers.destroy();
  }
}

/** Says of what no device would take, before anything is made. */
function check(gpu: Gpu, sources: readonly ShaderSource[], bindings: readonly BindingDescription[]): void {
  const { limits } = gpu.device;
  for (const source of sources) {
    const { name, workgroups, code } = source;
    const most = limits.maxComputeWorkgroupsPerDimension;
    if (workgroups.some((count) => count > most)) {
      throw new OptionError(
        `${name}: ${workgroups.join('×')} workgroups; this device allows ${most} in each direction`,
      );
    }
    checkBindings(source, bindings);
    if (/@group\(\s*[1-9]/.test(code)) throw new OptionError(`${name}: only bindings of @group(0) can be described`);
  }
  for (const { binding, access, ...rest } of bindings) {
    const most = access === 'uniform' ? limits.maxUniformBufferBindingSize : limits.maxStorageBufferBindingSize;
    const bytes = bytesOf({ binding, access, ...rest });
    if (bytes > most) throw new OptionError(`binding ${binding} has ${bytes} bytes; this device allows ${most}`);
  }
}

/** What shaders are run on: buffers that are only read, for all, and for each its own of those that are written. */
class Buffers {
  private readonly gpu: Gpu;
  private readonly bindings: readonly BindingDescription[];
  private readonly initial: readonly GPUBuffer[];
  /** By shader, then as the bindings. */
  private readonly bound: readonly (readonly GPUBuffer[])[];

  constructor(gpu: Gpu, bindings: readonly BindingDescription[], shaders: number) {
    this.gpu = gpu;
    this.bindings = bindings;
    const create = (description: BindingDescription) => {
      const { binding, access } = description;
      // UNIFORM or STORAGE; COPY_SRC and COPY_DST.
      const usage = (access === 'uniform' ? 0x40 : 0x80) | 0x04 | 0x08;
      return gpu.createBuffer({ label: `binding ${binding}`, size: bytesOf(description), usage });
    };
    this.initial = bindings.map(create);
    bindings.forEach((description, i) => {
      gpu.device.queue.writeBuffer(this.initial[i]!, 0, valuesOf(description) as Uint8Array<ArrayBuffer>);
    });
    this.bound = Array.from({ length: shaders }, () =>
      bindings.map((description, i) => (description.access === 'read_write' ? create(description) : this.initial[i]!)),
    );
  }

  bind(layout: GPUBindGroupLayout, shader: number): GPUBindGroup {
    const entries = this.bindings.map(({ binding }, i) => {
      return { binding, resource: { buffer: this.bound[shader]![i]! } };
    });
    return this.gpu.device.createBindGroup({ layout, entries });
  }

  /** What was written is again as it was described. */
  reset(): void {
    const encoder = this.gpu.device.createCommandEncoder();
    for (const buffers of this.bound) {
      buffers.forEach((buffer, i) => {
        const initial = this.initial[i]!;
        if (buffer !== initial) encoder.copyBufferToBuffer(initial, 0, buffer, 0, buffer.size);
      });
    }
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  async compare(): Promise<Difference[]> {
    const differences: Difference[] = [];
    for (const [i, description] of this.bindings.entries()) {
      if (description.access !== 'read_write') continue;
      const [before, first, second] = await Promise.all(
        [this.initial[i]!, this.bound[0]![i]!, this.bound[1]![i]!].map(async (buffer) => {
          const bytes = await copyOut(this.gpu, { buffer, offset: 0, size: buffer.size }, 'u8');
          return viewOf(description, bytes as Uint8Array<ArrayBuffer>);
        }),
      );
      differences.push(compare(description, before!, first!, second!));
    }
    return differences;
  }

  destroy(): void {
    for (const buffer of new Set([...this.initial, ...this.bound.flat()])) buffer.destroy();
  }
}
