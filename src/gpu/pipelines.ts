// Compiled shaders: each text once, for as long as a program uses it, and the latest of the others.
import { ShaderError } from '../errors.ts';
import { popScope } from './error_scope.ts';

/** Pipelines kept that nothing uses at the moment: what was compiled once is likely to be wanted again. */
const KEPT = 128;

interface Entry {
  readonly key: string;
  readonly pending: Promise<GPUComputePipeline>;
  users: number;
}

export class Pipelines {
  private readonly device: GPUDevice;
  private readonly check: () => void;
  private readonly entries = new Map<string, Entry>();
  private readonly entryOf = new WeakMap<GPUComputePipeline, Entry>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();

  /** @param check throws what is wrong with the device */
  constructor(device: GPUDevice, check: () => void) {
    this.device = device;
    this.check = check;
  }

  get size(): number {
    return this.entries.size;
  }

  /** The layout of group 0 with these bindings, in order: true for one that is written. */
  layout(writable: readonly boolean[]): GPUBindGroupLayout {
    const key = writable.map(Number).join('');
    let layout = this.layouts.get(key);
    if (!layout) {
      layout = this.device.createBindGroupLayout({
        entries: writable.map((write, binding) => ({
          binding,
          visibility: 4,
          buffer: { type: write ? 'storage' : 'read-only-storage' },
        })),
      });
      this.layouts.set(key, layout);
    }
    return layout;
  }

  get(code: string, writable: readonly boolean[], label: string): Promise<GPUComputePipeline> {
    const key = `${writable.map(Number).join('')}\n${code}`;
    const known = this.entries.get(key);
    if (known) return known.pending;
    const pending = this.compile(code, writable, label);
    const entry: Entry = { key, pending, users: 0 };
    this.entries.set(key, entry);
    pending.then(
      (pipeline) => this.entryOf.set(pipeline, entry),
      () => this.entries.delete(key),
    );
    return pending;
  }

  private async compile(code: string, writable: readonly boolean[], label: string): Promise<GPUComputePipeline> {
    this.check();
    this.device.pushErrorScope('validation');
    const module = this.device.createShaderModule({ code, label });
    const layout = this.device.createPipelineLayout({ bindGroupLayouts: [this.layout(writable)] });
    const pending = this.device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: 'main' } });
    const scope = popScope(this.device);
    try {
      const pipeline = await pending;
      await scope;
      return pipeline;
    } catch (error) {
      this.check();
      const { messages } = await module.getCompilationInfo();
      const lines = code.split('\n');
      const details = messages
        .filter(({ type }) => type === 'error')
        .map(({ lineNum, message }) => `line ${lineNum}: ${message} in «${lines[lineNum - 1]?.trim()}»`);
      await scope;
      const reason = details.join('; ') || (error instanceof Error ? error.message : String(error));
      throw new ShaderError(`the driver refuses shader ${label}: ${reason}`, { cause: error });
    }
  }

  hold(pipelines: Iterable<GPUComputePipeline>): void {
    for (const pipeline of pipelines) this.entryOf.get(pipeline)!.users++;
  }

  release(pipelines: Iterable<GPUComputePipeline>): void {
    for (const pipeline of pipelines) {
      const entry = this.entryOf.get(pipeline)!;
      entry.users--;
      if (entry.users > 0 || this.entries.get(entry.key) !== entry) continue;
      // The latest last: so the first of those unused is the one that was so for longest.
      this.entries.delete(entry.key);
      this.entries.set(entry.key, entry);
    }
    this.trim(KEPT);
  }

  /** Lets go of pipelines that no program uses, but for the latest. */
  trim(keep = 0): void {
    const unused = [...this.entries.values()].filter(({ users }) => users === 0);
    for (const { key } of unused.slice(0, Math.max(0, unused.length - keep))) this.entries.delete(key);
  }

  clear(): void {
    this.entries.clear();
    this.layouts.clear();
  }
}
