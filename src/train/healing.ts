// When a device is lost: whether that can be mended, and where the next device comes from.
import { DeviceError, DeviceLostError, GliaError, OutOfMemoryError, ShaderError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';

/** Losses in a row, without a step in between, after which it is no accident. */
export const MOST_LOSSES = 5;
/** Between two requests for a device, while the browser starts its GPU process anew: milliseconds, the first, doubling. */
const RETRY_MS = 100;
const RETRIES = 6;
/** An error may come a little before the news of the loss that caused it: milliseconds. */
const NEWS_MS = 200;

/** What a run went through when its device was lost. */
export interface Recovery {
  /** What was wrong with the device before. */
  readonly reason: string;
  /** The step that a snapshot was taken after. The steps since were made once more. */
  readonly from: number;
  readonly step: number;
  /** The device that the run goes on with. */
  readonly gpu: Gpu;
  /** Whether it is of another adapter: its bits may differ. */
  readonly otherAdapter: boolean;
}

const later = (ms: number) => new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ms));

/** By then, news of a loss has come. */
export const news = () => later(NEWS_MS);

/** What an error means for a run on this device: that the device is gone, that it has too little memory, or neither. */
export async function troubleOf(error: unknown, gpu: Gpu): Promise<DeviceLostError | OutOfMemoryError | undefined> {
  if (gpu.isDestroyed) return undefined;
  if (error instanceof OutOfMemoryError || error instanceof DeviceLostError) return error;
  // What else goes wrong on a lost device has many names.
  const suspicious = !(error instanceof GliaError) || error instanceof DeviceError || error instanceof ShaderError;
  return suspicious ? await Promise.race([gpu.lost, news()]) : undefined;
}

/**
 * The device to go on with.
 *
 * @param own the app's way to bring one
 * @throws what there was to say when no device could be had
 */
export async function nextGpu(
  lost: Gpu,
  reason: DeviceLostError,
  own?: (reason: DeviceLostError) => Promise<Gpu | undefined>,
): Promise<Gpu> {
  if (own) {
    const next = await own(reason);
    if (!next) throw reason;
    return next;
  }
  const { requestAgain } = lost;
  if (!requestAgain) throw reason;
  for (let tries = 1; ; tries++) {
    try {
      return await requestAgain();
    } catch (error) {
      if (tries === RETRIES) throw new DeviceLostError(`${reason.message}; and ${(error as Error).message}`);
      await later(RETRY_MS * 2 ** tries);
    }
  }
}
