// Images of random codes, at a temperature: the factor on the prior's standard deviation.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Picture } from '../parts/pictures.tsx';
import { Slider } from '../parts/ui.tsx';
import { complain } from '../state.ts';
import { newestOnly } from './latest.ts';
import { label, model, player, step } from './model.ts';

const COUNT = 64;

const noiseOf = (size: number) =>
  Float32Array.from(
    { length: size },
    () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()),
  );

export function Samples() {
  const { codeSize, shape, toldClasses } = model.value!;
  const noise = useSignal(noiseOf(COUNT * codeSize));
  const temperature = useSignal(1);
  const shown = useSignal<Float32Array | undefined>(undefined);
  const decode = useRef(
    newestOnly(async (noise: Float32Array, factor: number, label: number) => {
      try {
        shown.value = await player.decode(
          noise.map((x) => x * factor),
          label,
        );
      } catch (error) {
        complain(error);
      }
    }),
  );
  useEffect(
    () => decode.current(noise.value, temperature.value, label.value),
    [noise.value, temperature.value, label.value, step.value],
  );
  return (
    <section class="card">
      <div class="row between">
        <Slider
          label="Temperature"
          name="temperature"
          value={temperature.value}
          min={0}
          max={2}
          onInput={(value) => (temperature.value = value)}
        />
        <button type="button" onClick={() => (noise.value = noiseOf(COUNT * codeSize))}>
          Other samples
        </button>
      </div>
      <div class="grid-of-images" id="samples">
        {Array.from({ length: COUNT }, (_, i) => (
          <Picture
            key={i}
            data={shown.value}
            shape={shape}
            index={i}
            label={`Sample ${i + 1}${toldClasses > 0 ? ` of class ${label.value}` : ''}`}
          />
        ))}
      </div>
    </section>
  );
}
