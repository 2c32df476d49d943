// Counts what is asked of a device.

/** How often each method was called since the last reset, of the device, its queue and its encoders. */
export class Calls {
  readonly counts = new Map<string, number>();
  private readonly watched: { object: object; name: string }[] = [];

  constructor(device: GPUDevice) {
    for (const [owner, object] of [
      ['device', device],
      ['queue', device.queue],
    ] as const) {
      this.watch(owner, object);
    }
  }

  private watch(owner: string, object: object): void {
    for (let prototype = object; prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype)) {
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
        if (typeof value !== 'function' || name === 'constructor' || Object.hasOwn(object, name)) continue;
        this.watched.push({ object, name });
        Object.defineProperty(object, name, {
          configurable: true,
          value: (...args: unknown[]) => {
            this.counts.set(`${owner}.${name}`, this.of(`${owner}.${name}`) + 1);
            const result = value.apply(object, args);
            if (name === 'createCommandEncoder') this.watch('encoder', result);
            return result;
          },
        });
      }
    }
  }

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  /** Things made on the device, but for the encoders that every submit needs. */
  get created(): string[] {
    const made = [...this.counts.keys()].filter((name) => /^device\.(create|import)/.test(name));
    return made.filter((name) => name !== 'device.createCommandEncoder');
  }

  /** Leaves the device as it was. */
  stop(): void {
    for (const { object, name } of this.watched) Reflect.deleteProperty(object, name);
  }

  reset(): void {
    this.counts.clear();
  }
}
