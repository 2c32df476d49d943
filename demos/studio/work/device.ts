// The device of a page or worker.
import { Gpu } from '../../../src/gpu/gpu.ts';

/**
 * What gives this thread's device: the same one whoever asks, and another once it is lost.
 *
 * @param onLost is told when what was made on it is gone
 */
export function deviceOf(onLost: () => void = () => {}): () => Promise<Gpu> {
  let gpu: Promise<Gpu> | undefined;
  const forget = () => {
    gpu = undefined;
  };
  return () => {
    if (gpu) return gpu;
    gpu = Gpu.request();
    gpu
      .then(({ lost }) =>
        lost.then(() => {
          forget();
          onLost();
        }),
      )
      .catch(forget);
    return gpu;
  };
}
