// The code of a VQ-VAE: a grid of entries of a table, each of which can be another.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Picture } from '../parts/pictures.tsx';
import { complain } from '../state.ts';
import { newestOnly } from './latest.ts';
import { exampleAt, image, model, player, step } from './model.ts';

export function Grid() {
  const { shape, images, grid } = model.value!;
  const { height, width, entries: count } = grid!;
  const entries = useSignal<Uint32Array>(new Uint32Array(height * width));
  const shown = useSignal<Float32Array | undefined>(undefined);
  const table = useSignal<Float32Array | undefined>(undefined);
  const chosen = useSignal(Math.floor(height / 2) * width + Math.floor(width / 2));
  const isReady = useSignal(false);
  const cells = useRef<HTMLDivElement>(null);

  const decode = useRef(
    newestOnly(async (entries: Uint32Array) => {
      try {
        shown.value = await player.decodeGrid(entries);
      } catch (error) {
        complain(error);
      }
    }),
  );
  const encode = async (of: Float32Array) => {
    const { entries: found } = await player.look(of);
    if (found) entries.value = found;
    isReady.value = true;
  };
  useEffect(() => void encode(image.value ?? exampleAt(0)).catch(complain), []);
  useEffect(() => void player.entries().then((all) => (table.value = all), complain), [step.value]);
  useEffect(() => decode.current(entries.value), [entries.value, step.value]);

  const set = (entry: number) => {
    entries.value = entries.value.map((each, i) => (i === chosen.value ? entry : each));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    chosen.value = (chosen.value + move + height * width) % (height * width);
    (cells.current?.children[chosen.value] as HTMLElement | undefined)?.focus();
  };
  return (
    <div class="grid-page">
      <section class="card side">
        <Picture data={shown.value} shape={shape} label="The image of these codes" class="large" />
        <div class="row">
          <button
            type="button"
            onClick={() => encode(exampleAt(Math.floor(Math.random() * images.count))).catch(complain)}
          >
            Show me one
          </button>
          <button type="button" disabled={!image.value} onClick={() => encode(image.value!).catch(complain)}>
            What I drew
          </button>
          <button
            type="button"
            onClick={() => {
              entries.value = entries.value.map(() => Math.floor(Math.random() * count));
            }}
          >
            Random
          </button>
        </div>
      </section>
      <section class="card">
        <h2>
          Codes <small>choose a position, then an entry for it</small>
        </h2>
        <div
          class="cells"
          id="cells"
          role="toolbar"
          aria-label="Positions of the grid"
          ref={cells}
          style={{ gridTemplateColumns: `repeat(${width}, 1fr)` }}
          onKeyDown={onKeyDown}
        >
          {Array.from(entries.value, (entry, i) => (
            <button
              key={i}
              type="button"
              aria-pressed={i === chosen.value}
              aria-label={`Row ${Math.floor(i / width) + 1}, column ${(i % width) + 1}: entry ${entry}`}
              tabIndex={i === chosen.value ? 0 : -1}
              onClick={() => (chosen.value = i)}
            >
              {entry}
            </button>
          ))}
        </div>
      </section>
      <section class="card">
        <h2>
          Table <small>each entry, standing everywhere</small>
        </h2>
        <div class="grid-of-images" role="toolbar" aria-label="Entries">
          {Array.from({ length: count }, (_, entry) => (
            <button
              key={entry}
              type="button"
              class="entry"
              disabled={!isReady.value}
              aria-pressed={entries.value[chosen.value] === entry}
              aria-label={`Entry ${entry}`}
              onClick={() => set(entry)}
            >
              <Picture data={table.value} shape={shape} index={entry} label={`Entry ${entry}`} />
            </button>
          ))}
        </div>
      </section>
    </div>
  );
}
