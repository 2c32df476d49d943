// From one image to another and back, on a loop, along a straight line through the codes; saved as an animated image.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ImageShape } from '../../../src/data/resize.ts';
import { download } from '../../../src/view/download.ts';
import { pixelsOf } from '../../../src/view/pictures.ts';
import { Picture } from '../parts/pictures.tsx';
import { attempt, complain } from '../state.ts';
import { between } from './analysis.ts';
import { newestOnly } from './latest.ts';
import { exampleAt, examples, image, label, model, player, step } from './model.ts';

const FRAMES = 20;
/** Milliseconds a frame, and how long it stays at each end. */
const FRAME_MS = 60;
const REST = 8;
const CHOICES = 16;
/** Side of the saved image, at least. */
const SAVED = 224;

/** Frames there and back, with a rest at both ends. */
const TIMES = [
  ...Array<number>(REST).fill(0),
  ...Array.from({ length: FRAMES }, (_, i) => i),
  ...Array<number>(REST).fill(FRAMES - 1),
  ...Array.from({ length: FRAMES }, (_, i) => FRAMES - 1 - i),
];

async function toGif(frames: Float32Array, shape: ImageShape): Promise<Uint8Array> {
  const { GIFEncoder, applyPalette, quantize } = await import('gifenc');
  const gif = GIFEncoder();
  const scale = Math.max(1, Math.ceil(SAVED / Math.max(shape.width, shape.height)));
  const large = new OffscreenCanvas(shape.width * scale, shape.height * scale);
  const small = new OffscreenCanvas(shape.width, shape.height);
  const context = large.getContext('2d', { willReadFrequently: true })!;
  context.imageSmoothingEnabled = false;
  for (let time = REST - 1; time < TIMES.length; time++) {
    const frame = TIMES[time]!;
    small.getContext('2d')!.putImageData(pixelsOf(frames, shape, frame), 0, 0);
    context.drawImage(small, 0, 0, large.width, large.height);
    const { data } = context.getImageData(0, 0, large.width, large.height);
    const palette = quantize(data, 256);
    const delay = FRAME_MS * (frame === 0 && time < REST ? REST : 1);
    gif.writeFrame(applyPalette(data, palette), large.width, large.height, { palette, delay });
  }
  gif.finish();
  return gif.bytes();
}

function Choice(props: { name: string; chosen: number; choose: (index: number) => void; first: number }) {
  const { name, chosen, choose, first } = props;
  const { shape, images } = model.value!;
  const count = Math.min(CHOICES, images.count - first);
  return (
    <fieldset class="choice-of-images">
      <legend>{name}</legend>
      {image.value && (
        <label>
          <input type="radio" name={name} checked={chosen === -1} onChange={() => choose(-1)} />
          <Picture data={image.value} shape={shape} label="What I drew" />
        </label>
      )}
      {Array.from({ length: count }, (_, i) => (
        <label key={first + i}>
          <input type="radio" name={name} checked={chosen === first + i} onChange={() => choose(first + i)} />
          <Picture
            data={examples.value}
            shape={shape}
            index={first + i}
            label={images.labels ? `A ${images.labels[first + i]}` : `Image ${first + i + 1}`}
          />
        </label>
      ))}
    </fieldset>
  );
}

export function Morph() {
  const { shape, images, toldClasses } = model.value!;
  const from = useSignal(image.value ? -1 : 0);
  const to = useSignal(Math.min(1, images.count - 1));
  const first = useSignal(0);
  const frames = useSignal<Float32Array | undefined>(undefined);
  const time = useSignal(0);
  const runs = useSignal(!matchMedia('(prefers-reduced-motion: reduce)').matches);

  const make = useRef(
    newestOnly(async (ends: readonly number[], label: number) => {
      try {
        const codes: Float32Array[] = [];
        for (const index of ends) {
          const own = index >= 0 && toldClasses > 0 ? (images.labels?.[index] ?? label) : label;
          codes.push((await player.look(index < 0 ? image.value! : exampleAt(index), own)).mean!);
        }
        frames.value = await player.decode(between(codes[0]!, codes[1]!, FRAMES), label);
      } catch (error) {
        complain(error);
      }
    }),
  );
  useEffect(() => make.current([from.value, to.value], label.value), [from.value, to.value, label.value, step.value]);
  useEffect(() => {
    if (!runs.value) return;
    const timer = setInterval(() => (time.value = (time.value + 1) % TIMES.length), FRAME_MS);
    return () => clearInterval(timer);
  }, [runs.value]);

  return (
    <div class="morph-page">
      <section class="card side">
        <Picture data={frames.value} shape={shape} index={TIMES[time.value]!} label="The morph" class="large" />
        <div class="row">
          <button type="button" aria-pressed={!runs.value} onClick={() => (runs.value = !runs.value)}>
            {runs.value ? 'Hold' : 'Run'}
          </button>
          <button
            type="button"
            id="save-gif"
            disabled={!frames.value}
            onClick={() => attempt(async () => download('morph.gif', await toGif(frames.value!, shape), 'image/gif'))}
          >
            Save as GIF
          </button>
        </div>
      </section>
      <section class="card">
        <Choice name="From" chosen={from.value} choose={(index) => (from.value = index)} first={first.value} />
        <Choice name="To" chosen={to.value} choose={(index) => (to.value = index)} first={first.value} />
        <button
          type="button"
          onClick={() => (first.value = first.value + 2 * CHOICES > images.count ? 0 : first.value + CHOICES)}
        >
          Other images
        </button>
      </section>
    </div>
  );
}
