// Models whose weights are drawn, as if they had been trained, and images for them.
import type { ImageSet } from '../src/data/images.ts';
import type { Model } from '../src/models/model.ts';
import { decodeTrained, type Trained } from '../src/train/checkpoint.ts';
import { completeOptions, type GivenOptions } from '../src/train/options.ts';
import { createModel } from '../src/train/registry/registry.ts';
import { encodeSafetensors } from '../src/train/safetensors.ts';

export interface Made {
  readonly trained: Trained;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

type Size = readonly [height: number, width: number, channels?: number];

export function modelOf(given: GivenOptions, [height, width, channels = 1]: Size, random: () => number): Made {
  const options = completeOptions(given);
  const images = new Uint8Array(height * width * channels);
  const side = { count: 1, height, width, channels, classes: 0, images };
  const model: Model = createModel({ name: 'none', train: side, test: side }, options);
  const tensors = [...model.namedParameters()].map(([name, { shape, size }]) => {
    const data = Float32Array.from(
      { length: size },
      () => (random() - 0.5) * (shape.length > 1 ? 4 / Math.sqrt(shape[1]!) : 1),
    );
    return [name, { dtype: 'F32', shape, data }] as const;
  });
  const bytes = encodeSafetensors(Object.fromEntries(tensors), { options: JSON.stringify(options) });
  return { trained: decodeTrained(bytes, 'drawn'), height, width, channels };
}

/** Pictures of some order: runs of one colour. */
export function imagesOf({ trained, height, width, channels }: Made, count: number, random: () => number): ImageSet {
  const binary = trained.options.binarize !== 'none';
  let value = 0;
  const images = Uint8Array.from({ length: count * height * width * channels }, () => {
    if (random() < 0.2)
      value = binary ? 255 * Number(random() < 0.5) : Math.max(0, Math.min(255, Math.floor(400 * random() - 70)));
    return value;
  });
  return { count, height, width, channels, classes: 0, images };
}
