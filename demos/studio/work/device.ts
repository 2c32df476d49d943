// The device of a page or worker.
import type { DeviceLostError } from '../../../src/errors.ts';
import { Gpu } from '../../../src/gpu/gpu.ts';
import { nextGpu } from '../../../src/train/healing.ts';

/**
 * What gives this thread's device: the same one whoever asks, and another once it is lost.
 *
 * @param onLost is told when what was made on it is gone
 */
export function deviceOf(onLost: () => void = () => {}): () => Promise<Gpu> {
  let gpu: Promise<Gpu> | undefined;
  /** The one before: while the browser starts its GPU process anew, another may take some tries. */
  let before: { readonly gpu: Gpu; readonly reason: DeviceLostError } | undefined;
  const forget = () => {
    gpu = undefined;
  };
  return () => {
    if (gpu) return gpu;
    gpu = before ? nextGpu(before.gpu, before.reason) : Gpu.request();
    gpu
      .then((now) =>
        now.lost.then((reason) => {
          before = { gpu: now, reason };
          forget();
          onLost();
        }),
      )
      .catch(forget);
    return gpu;
  };
}
