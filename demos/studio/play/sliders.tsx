// A slider for each dimension of the code, that which carries most first.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Picture } from '../parts/pictures.tsx';
import { Slider } from '../parts/ui.tsx';
import { complain } from '../state.ts';
import { newestOnly } from './latest.ts';
import { image, label, model, player, space, step } from './model.ts';

/** Below so many nats a dimension says nothing of the image. */
const SILENT = 0.02;
const FARTHEST = 3.5;

const randomNormal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

export function Sliders() {
  const { codeSize, shape } = model.value!;
  const code = useSignal<Float32Array>(new Float32Array(codeSize));
  const shown = useSignal<Float32Array | undefined>(undefined);
  const decode = useRef(
    newestOnly(async (codes: Float32Array, label: number) => {
      try {
        shown.value = await player.decode(codes, label);
      } catch (error) {
        complain(error);
      }
    }),
  );
  useEffect(() => decode.current(code.value, label.value), [code.value, label.value, step.value]);

  const codes = space.value;
  const order = codes?.order ?? [];
  const speaking = order.filter((i) => codes!.kl[i]! >= SILENT);
  const silent = order.filter((i) => codes!.kl[i]! < SILENT);
  const slider = (i: number) => (
    <Slider
      key={i}
      name={`z${i + 1}`}
      label={
        <>
          z{i + 1} <small>{codes!.kl[i]!.toFixed(2)} nats</small>
        </>
      }
      value={code.value[i]!}
      min={-FARTHEST}
      max={FARTHEST}
      onInput={(value) => {
        code.value = Float32Array.from(code.value, (x, k) => (k === i ? value : x));
      }}
    />
  );
  return (
    <div class="sliders-page">
      <section class="card side">
        <Picture data={shown.value} shape={shape} label="The image of this code" class="large" />
        <div class="row">
          <button type="button" onClick={() => (code.value = new Float32Array(codeSize))}>
            Middle
          </button>
          <button
            type="button"
            id="random-code"
            onClick={() => (code.value = Float32Array.from({ length: codeSize }, randomNormal))}
          >
            Random
          </button>
          <button
            type="button"
            disabled={!image.value}
            onClick={async () => {
              const { mean } = await player.look(image.value!, label.value);
              if (mean) code.value = mean;
            }}
          >
            What I drew
          </button>
        </div>
        <p class="hint">
          Nats say how much a dimension tells of an image, on average: the KL divergence of its posterior from the
          prior.
        </p>
      </section>
      <section class="card">
        <h2>Dimensions</h2>
        <div class="sliders">{speaking.map(slider)}</div>
        {silent.length > 0 && (
          <details>
            <summary>{silent.length} that carry nothing</summary>
            <div class="sliders">{silent.map(slider)}</div>
          </details>
        )}
      </section>
    </div>
  );
}
