// Random numbers, comparison, and a device: what the tests share.
import { Gpu } from '../src/gpu/gpu.ts';

export * from '../src/testing/numbers.ts';

let gpu: Promise<Gpu> | undefined;

/** The device that the tests of one file share. Without an adapter it throws: a test must not pass by not running. */
export function sharedGpu(): Promise<Gpu> {
  gpu ??= Gpu.request();
  return gpu;
}
