// A pad to draw on, and what the model makes of it with each stroke: code, reconstruction, likelihood, neighbours, classes.
import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { pixelsOf } from '../../../src/view/pictures.ts';
import { Picture } from '../parts/pictures.tsx';
import { classColor } from '../parts/theme.ts';
import { Check } from '../parts/ui.tsx';
import { complain } from '../state.ts';
import type { Look } from '../work/uses.ts';
import { nearest, rankOf } from './analysis.ts';
import { newestOnly } from './latest.ts';
import { exampleAt, examples, image, label, model, player, space, step } from './model.ts';
import { Pad } from './pad.ts';

const NEIGHBOURS = 8;
/** A key moves the pen so much of the side. */
const KEY = 1 / 28;

type Point = readonly [number, number];

export function Draw() {
  const { shape, codeSize, classes, reconstructs, images } = model.value!;
  const canvas = useRef<HTMLCanvasElement>(null);
  const pad = useMemo(() => new Pad(shape), [shape]);
  const found = useSignal<Look | undefined>(undefined);
  const bounds = useSignal<Float32Array | undefined>(undefined);
  const centre = useSignal(true);
  const erases = useSignal(false);
  const pen = useRef<Point | undefined>(undefined);
  const keyed = useSignal<{ at: Point; down: boolean } | undefined>(undefined);
  const isEmpty = useSignal(true);

  const ask = useRef(
    newestOnly(async (drawn: Float32Array, label: number) => {
      try {
        found.value = await player.look(drawn, label);
      } catch (error) {
        complain(error);
      }
    }),
  );

  const show = (centred = centre.value) => {
    const context = canvas.current!.getContext('2d')!;
    context.drawImage(pad.canvas, 0, 0, canvas.current!.width, canvas.current!.height);
    const { value: cursor } = keyed;
    if (cursor) {
      context.strokeStyle = cursor.down ? '#e0662a' : '#5b9bff';
      context.lineWidth = 2;
      context.beginPath();
      context.arc(cursor.at[0] * canvas.current!.width, cursor.at[1] * canvas.current!.height, 12, 0, 2 * Math.PI);
      context.stroke();
    }
    const drawn = pad.intensities(centred);
    isEmpty.value = drawn.every((x) => x === 0);
    image.value = drawn;
    ask.current(drawn, label.value);
  };

  const showExample = () => {
    pad.show(pixelsOf(exampleAt(Math.floor(Math.random() * images.count)), shape));
    show(false);
  };

  useEffect(() => {
    pad.show(pixelsOf(image.value ?? exampleAt(0), shape));
    show(false);
    if (codeSize > 0) player.bounds().then((sorted) => (bounds.value = sorted), complain);
  }, [pad]);
  useEffect(() => {
    if (image.value) ask.current(image.value, label.value);
  }, [label.value, step.value]);

  const pointOf = (event: { offsetX: number; offsetY: number }): Point => {
    const { clientWidth, clientHeight } = canvas.current!;
    return [event.offsetX / clientWidth, event.offsetY / clientHeight];
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const now = keyed.value ?? { at: [0.5, 0.5] as const, down: false };
    if (move) {
      event.preventDefault();
      const clamp = (x: number) => Math.min(1, Math.max(0, x));
      const at: Point = [clamp(now.at[0] + move[0]! * KEY), clamp(now.at[1] + move[1]! * KEY)];
      if (now.down) pad.stroke(now.at, at, 0.5, erases.value);
      keyed.value = { ...now, at };
    } else if (event.key === ' ' || event.key === 'Enter') {
      event.preventDefault();
      if (!now.down) {
        pad.keep();
        pad.stroke(now.at, now.at, 0.5, erases.value);
      }
      keyed.value = { ...now, down: !now.down };
    } else if (event.key === 'Backspace' || (event.key === 'z' && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      pad.undo();
    } else return;
    show();
  };

  const look = found.value;
  const codes = space.value;
  const all = examples.value!;
  const near =
    look?.mean && codes
      ? nearest(codes.mean, look.mean, NEIGHBOURS)
      : image.value
        ? nearest(all, image.value, NEIGHBOURS)
        : [];
  const sure = look?.probabilities ? look.probabilities.indexOf(Math.max(...look.probabilities)) : undefined;
  return (
    <div class="draw-page">
      <section class="card" aria-label="The pad">
        {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys of its own, which a screen reader must let through */}
        <canvas
          ref={canvas}
          id="pad"
          class="pad"
          width={shape.width * 12}
          height={shape.height * 12}
          style={{ aspectRatio: `${shape.width} / ${shape.height}` }}
          tabIndex={0}
          role="application"
          aria-roledescription="drawing pad"
          aria-label="Draw here with mouse, finger or pen. Keys: arrows move the pen, Space sets it down and lifts it, Backspace undoes"
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            keyed.value = undefined;
            pad.keep();
            pen.current = pointOf(event);
            pad.stroke(pen.current, pen.current, event.pointerType === 'pen' ? event.pressure : 0.5, erases.value);
            show();
          }}
          onPointerMove={(event) => {
            if (!pen.current) return;
            for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
              const to = pointOf(each);
              pad.stroke(
                pen.current,
                to,
                event.pointerType === 'pen' ? event.pressure : 0.5,
                erases.value || event.buttons === 32,
              );
              pen.current = to;
            }
            show();
          }}
          onPointerUp={() => (pen.current = undefined)}
          onPointerCancel={() => (pen.current = undefined)}
          onKeyDown={onKeyDown}
          onBlur={() => {
            keyed.value = undefined;
          }}
        />
        <div class="row">
          <button
            type="button"
            id="clear-pad"
            onClick={() => {
              pad.clear();
              show();
            }}
          >
            Clear
          </button>
          <button
            type="button"
            onClick={() => {
              pad.undo();
              show();
            }}
          >
            Undo
          </button>
          <button type="button" aria-pressed={erases.value} onClick={() => (erases.value = !erases.value)}>
            Eraser
          </button>
          <button type="button" id="show-example" onClick={showExample}>
            Show me one
          </button>
        </div>
        <Check
          checked={centre.value}
          set={(checked) => {
            centre.value = checked;
            show();
          }}
        >
          Move what I draw into the middle, as in the images the model knows
        </Check>
      </section>
      <section class="card">
        <h2>What the model makes of it</h2>
        <div class="two">
          <figure>
            <Picture data={image.value} shape={shape} label="What the model sees" class="large" />
            <figcaption>what it sees</figcaption>
          </figure>
          {reconstructs && (
            <figure>
              <Picture data={look?.reconstruction} shape={shape} label="What the model makes of it" class="large" />
              <figcaption>what it makes of it</figcaption>
            </figure>
          )}
        </div>
        {codeSize > 0 && (
          <p id="bound" aria-live="off">
            −ELBO <b>{look?.bound === undefined ? '–' : look.bound.toFixed(1)}</b> nats
            {bounds.value && look?.bound !== undefined && (
              <small>
                {' '}
                – {usual(bounds.value, look.bound)} (of the images it is shown with, half have{' '}
                {bounds.value[Math.floor(bounds.value.length / 2)]!.toFixed(0)} or less)
              </small>
            )}
          </p>
        )}
        {classes > 0 && (
          <ol class="chances" aria-label="Probabilities" id="probabilities">
            {Array.from({ length: classes }, (_, i) => {
              const probability = look?.probabilities?.[i] ?? 0;
              return (
                <li key={i} class={i === sure && !isEmpty.value ? 'most' : ''}>
                  <span>{i}</span>
                  <span class="track">
                    <span style={{ width: `${100 * probability}%`, background: classColor(i) }} />
                  </span>
                  <span class="value">{(100 * probability).toFixed(1)} %</span>
                </li>
              );
            })}
          </ol>
        )}
      </section>
      {codeSize > 0 && (
        <section class="card">
          <h2>
            Its code <small>mean and spread of q(z | x), what carries most first</small>
          </h2>
          <ol class="code" aria-label="Code">
            {(codes?.order ?? []).slice(0, 24).map((i) => {
              const mean = look?.mean?.[i] ?? 0;
              const spread = Math.exp((look?.logvar?.[i] ?? 0) / 2);
              const place = (x: number) => `${50 + (50 * Math.max(-4, Math.min(4, x))) / 4}%`;
              return (
                <li key={i}>
                  <span>z{i + 1}</span>
                  <span class="line">
                    <span
                      class="spread"
                      style={{ left: place(mean - spread), right: `calc(100% - ${place(mean + spread)})` }}
                    />
                    <span class="point" style={{ left: place(mean) }} />
                  </span>
                  <span class="value">{mean.toFixed(2)}</span>
                </li>
              );
            })}
          </ol>
        </section>
      )}
      <section class="card">
        <h2>
          Nearest neighbours{' '}
          <small>
            {codeSize > 0 ? 'by their codes' : 'by their pixels'}, among {images.count} images
          </small>
        </h2>
        <ul class="strip" id="neighbours" aria-label="Nearest neighbours">
          {near.map(({ index }) => (
            <li key={index}>
              <Picture
                data={all}
                shape={shape}
                index={index}
                label={images.labels ? `A ${images.labels[index]}` : `Image ${index + 1}`}
              />
              {images.labels && <small>{images.labels[index]}</small>}
            </li>
          ))}
        </ul>
      </section>
    </div>
  );
}

function usual(sorted: Float32Array, bound: number): string {
  const rank = rankOf(sorted, bound);
  if (rank > 0.99) return 'unlike anything it knows';
  if (rank > 0.9) return 'unusual';
  return rank < 0.1 ? 'very likely' : 'as likely as most';
}
