/// <reference lib="esnext.disposable" preserve="true" />
// The device: taken from the app or asked for, with what was allocated on it, its pipelines, and its loss.
import { DeviceError, DeviceLostError, type GliaError, OptionError, OutOfMemoryError } from '../errors.ts';
import { type AdapterDescription, describeAdapter, type GpuOptions, requestDevice } from './adapter.ts';
import { popScope } from './error_scope.ts';
import { Pipelines } from './pipelines.ts';

interface Destroyable {
  destroy(): void;
}

/** A device, and all that Glia made on it. Two of them on one page do not know each other. */
export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterDescription;
  /** Resolves when the device is gone, with the reason. */
  readonly lost: Promise<DeviceLostError>;
  private readonly owned = new Set<Destroyable>();
  private readonly pipelines: Pipelines;
  private readonly cache = new Map<object, Destroyable>();
  private readonly ownsDevice: boolean;
  private bytes = 0;
  /** For good: the device is lost. */
  private gone: GliaError | undefined;
  /** What went wrong since the last call, and is told once. */
  private failure: GliaError | undefined;
  /** Allocations whose outcome is not known yet. */
  private readonly pending = new Set<Promise<void>>();

  /** What the device was asked for with; undefined for an app's own. Dawn for Node frees the device with its `gpu`. */
  private readonly options: GpuOptions | undefined;
  private destroyed = false;

  private constructor(device: GPUDevice, adapter: AdapterDescription, options?: GpuOptions) {
    this.device = device;
    this.adapter = adapter;
    this.options = options;
    this.pipelines = new Pipelines(device, () => this.check());
    const ownsDevice = options !== undefined;
    this.ownsDevice = ownsDevice;
    this.lost = device.lost.then(({ reason, message }) => {
      const cause =
        reason === 'destroyed'
          ? 'it was destroyed'
          : message.replace(/\.$/, '') || 'the GPU process or the driver stopped';
      const error = new DeviceLostError(
        `the GPU device is gone (${cause}): go on from the last checkpoint with a new device`,
      );
      this.gone ??= error;
      return error;
    });
    // What no error scope catches is told at the next call. An app that lends its device listens for itself.
    if (ownsDevice) {
      device.addEventListener('uncapturederror', ({ error }) => {
        const outOfMemory = 'GPUOutOfMemoryError' in globalThis && error instanceof GPUOutOfMemoryError;
        this.failure ??= outOfMemory
          ? new OutOfMemoryError('the GPU ran out of memory: use a smaller batch or model')
          : new DeviceError(error.message);
      });
    }
  }

  /**
   * Asks for a device, with the features and limits that Glia can use and the adapter has.
   *
   * @throws UnsupportedError if there is no WebGPU, no adapter, or no device to be had
   */
  static async request(options: GpuOptions = {}): Promise<Gpu> {
    const { device, info, implementation } = await requestDevice(options);
    return new Gpu(device, describeAdapter(info), { ...options, gpu: implementation });
  }

  /** Uses the app's own device. `destroy` then frees what Glia made and leaves the device alone. */
  static from(device: GPUDevice): Gpu {
    if (typeof (device as GPUDevice | undefined)?.lost?.then !== 'function') {
      const got = (device as object | undefined)?.constructor?.name ?? String(device);
      throw new OptionError(`Gpu.from takes a GPUDevice, got ${got}: await adapter.requestDevice() first`);
    }
    return new Gpu(device, describeAdapter(device.adapterInfo));
  }

  /**
   * How to ask for another device as this one was asked for, when it is lost. There is no way if it is an app's own, or was
   * given up by `destroy`.
   */
  get requestAgain(): (() => Promise<Gpu>) | undefined {
    const { options } = this;
    return options && !this.destroyed ? () => Gpu.request(options) : undefined;
  }

  /** Whether `destroy` was called: then the device is not lost, but given up. */
  get isDestroyed(): boolean {
    return this.destroyed;
  }

  /** One line that names the adapter. */
  get name(): string {
    const { vendor, architecture, description, software } = this.adapter;
    const name = description || [vendor, architecture].filter(Boolean).join(' ') || 'an adapter that gives no name';
    return software ? `${name} (in software, on the CPU)` : name;
  }

  has(feature: GPUFeatureName): boolean {
    return this.device.features.has(feature);
  }

  /** Bytes in buffers that are alive. */
  get allocatedBytes(): number {
    return this.bytes;
  }

  /** Things that are alive: after `destroy`, none. */
  get allocations(): number {
    return this.owned.size;
  }

  /** Shaders that are compiled, those that no program uses at the moment among them. */
  get compiledShaders(): number {
    return this.pipelines.size;
  }

  /**
   * @throws DeviceLostError once the device is gone
   * @throws OutOfMemoryError or DeviceError for what else befell it since the last call: once, since it may be over
   */
  check(): void {
    if (this.gone) throw this.gone;
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
  }

  /**
   * A buffer that counts as Glia's. If there is no memory for it, that is told at the next call, and the buffer is
   * destroyed: whoever keeps it makes it anew when it is no longer `alive`.
   *
   * @throws OutOfMemoryError if the device allows no buffer of this size
   */
  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    this.check();
    const { label = 'a buffer', size } = descriptor;
    const { maxBufferSize } = this.device.limits;
    if (size > maxBufferSize) {
      throw new OutOfMemoryError(`${label}: ${size} bytes; this device allows ${maxBufferSize} in one buffer`);
    }
    const failed = () =>
      new OutOfMemoryError(
        `the GPU has no memory for ${label}, ${size} bytes: free some, or use a smaller batch or model`,
      );
    this.device.pushErrorScope('out-of-memory');
    let buffer: GPUBuffer;
    let scope: Promise<GPUError | null>;
    try {
      buffer = this.device.createBuffer(descriptor);
    } catch (error) {
      // One that is mapped at once is refused at once.
      if (error instanceof RangeError) throw failed();
      throw error;
    } finally {
      scope = popScope(this.device);
    }
    const destroy = buffer.destroy.bind(buffer);
    this.owned.add(buffer);
    this.bytes += buffer.size;
    buffer.destroy = () => {
      if (this.owned.delete(buffer)) this.bytes -= buffer.size;
      destroy();
    };
    const outcome = scope.then(
      (error) => {
        if (!error) return;
        buffer.destroy();
        this.failure ??= failed();
      },
      () => undefined, // the device is lost, which is told elsewhere
    );
    this.pending.add(outcome);
    outcome.then(() => this.pending.delete(outcome));
    return buffer;
  }

  /** Whether something made here was neither destroyed nor failed. */
  isAlive(thing: Destroyable): boolean {
    return this.owned.has(thing);
  }

  createQuerySet(descriptor: GPUQuerySetDescriptor): GPUQuerySet {
    this.check();
    const set = this.device.createQuerySet(descriptor);
    const destroy = set.destroy.bind(set);
    this.owned.add(set);
    set.destroy = () => {
      this.owned.delete(set);
      destroy();
    };
    return set;
  }

  /** The layout of group 0 with these bindings, in order: true for one that is written. */
  bindGroupLayout(writable: readonly boolean[]): GPUBindGroupLayout {
    return this.pipelines.layout(writable);
  }

  /**
   * Compiles a shader, once per distinct text. All compile at the same time.
   *
   * @throws ShaderError with the driver's messages
   */
  pipeline(code: string, writable: readonly boolean[], label: string): Promise<GPUComputePipeline> {
    return this.pipelines.get(code, writable, label);
  }

  /** Counts pipelines as used, until they are released as often. */
  hold(pipelines: Iterable<GPUComputePipeline>): void {
    this.pipelines.hold(pipelines);
  }

  release(pipelines: Iterable<GPUComputePipeline>): void {
    this.pipelines.release(pipelines);
  }

  /** Lets go of compiled shaders that no live program uses. (Some are kept otherwise, so as not to compile them again.) */
  trim(): void {
    this.pipelines.trim();
  }

  /**
   * Runs `work`, and throws what the device reports of it as a typed error.
   *
   * @throws OutOfMemoryError, DeviceError or DeviceLostError
   */
  async guarded<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    this.check();
    this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('validation');
    let result: T;
    let scopes: Promise<[GPUError | null, GPUError | null]>;
    const pop = () => Promise.all([popScope(this.device), popScope(this.device)]) as typeof scopes;
    try {
      const pending = work();
      scopes = pop();
      scopes.catch(() => undefined);
      result = await pending;
    } catch (error) {
      scopes ??= pop();
      await scopes.catch(() => null);
      throw error;
    }
    const [validation, memory] = await scopes;
    await Promise.all(this.pending);
    this.check();
    if (memory) throw new OutOfMemoryError(`${what} does not fit into the GPU's memory: use a smaller batch or model`);
    if (validation) throw new DeviceError(`${what}: ${validation.message}`);
    return result;
  }

  /** One thing for a key, made on first use, destroyed with this Gpu, and made anew if there was no memory for it. */
  cached<T extends Destroyable>(key: object, create: () => T): T {
    let value = this.peek<T>(key);
    if (!value) {
      value = create();
      this.cache.set(key, value);
    }
    return value;
  }

  peek<T extends Destroyable>(key: object): T | undefined {
    const value = this.cache.get(key) as T | undefined;
    return value && this.owned.has(value) ? value : undefined;
  }

  /** Destroys the thing for a key, if there is one. */
  forget(key: object): void {
    this.cache.get(key)?.destroy();
    this.cache.delete(key);
  }

  /** Frees all that was made on the device, and the device if it was asked for here. */
  destroy(): void {
    this.destroyed = true;
    this.gone ??= new DeviceLostError('this Gpu was destroyed');
    for (const value of this.cache.values()) value.destroy();
    this.cache.clear();
    for (const thing of [...this.owned]) thing.destroy();
    this.pipelines.clear();
    if (this.ownsDevice) this.device.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
