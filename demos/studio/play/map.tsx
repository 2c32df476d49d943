// The map of the latent space: codes of images by class, and the image of the place under the pointer.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { pixelsOf } from '../../../src/view/pictures.ts';
import { Picture } from '../parts/pictures.tsx';
import { classColor, color, onScheme } from '../parts/theme.ts';
import { Check } from '../parts/ui.tsx';
import { complain } from '../state.ts';
import { between, codeAt, nearest } from './analysis.ts';
import { newestOnly } from './latest.ts';
import { label, model, player, space, step } from './model.ts';

/** Decoded images along a side of the backdrop, and along a walk. */
const BACKDROP = 14;
const WALK = 10;
/** A key moves so much of the map. */
const KEY = 0.02;

interface Place {
  readonly u: number;
  readonly v: number;
}

/** The square of the plane that is shown: the middle, and half a side. */
function viewOf(places: Float64Array): { readonly u: number; readonly v: number; readonly half: number } {
  const range = (offset: number) => {
    const values = Array.from({ length: places.length / 2 }, (_, i) => places[2 * i + offset]!).sort((a, b) => a - b);
    // A few far away need not press the others together.
    const at = (share: number) => values[Math.round(share * (values.length - 1))] ?? 0;
    return [at(0.005), at(0.995)] as const;
  };
  const [[left, right], [low, high]] = [range(0), range(1)];
  const half = 0.55 * Math.max(right - left, high - low, 0.5);
  return { u: (left + right) / 2, v: (low + high) / 2, half };
}

export function MapOfCodes() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const backdrop = useRef<ImageBitmap | HTMLCanvasElement | undefined>(undefined);
  const place = useSignal<Place | undefined>(undefined);
  const start = useSignal<Place | undefined>(undefined);
  const shown = useSignal<Float32Array | undefined>(undefined);
  const walk = useSignal<Float32Array | undefined>(undefined);
  const pictures = useSignal(true);
  const codes = space.value;
  const { shape, images } = model.value!;
  const view = codes && viewOf(codes.places);
  const told = label.value;

  const toPlace = (event: { offsetX: number; offsetY: number }): Place => {
    const { clientWidth: side } = canvas.current!;
    return {
      u: view!.u + (2 * (event.offsetX / side) - 1) * view!.half,
      v: view!.v - (2 * (event.offsetY / side) - 1) * view!.half,
    };
  };

  const paint = useRef(() => {});
  paint.current = () => {
    const { current } = canvas;
    if (!current || !codes || !view) return;
    const side = current.clientWidth;
    const scale = devicePixelRatio;
    if (current.width !== Math.round(side * scale)) current.width = current.height = Math.round(side * scale);
    const context = current.getContext('2d')!;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, side, side);
    if (pictures.value && backdrop.current) {
      // Images are light on black: so that points are seen over them, in both schemes.
      context.fillStyle = '#0b0e14';
      context.fillRect(0, 0, side, side);
      context.globalAlpha = 0.42;
      context.imageSmoothingEnabled = true;
      context.drawImage(backdrop.current, 0, 0, side, side);
      context.globalAlpha = 1;
    }
    const x = (u: number) => (((u - view.u) / view.half + 1) * side) / 2;
    const y = (v: number) => ((1 - (v - view.v) / view.half) * side) / 2;
    const radius = Math.max(2, side / 220);
    for (let i = 0; i < codes.count; i++) {
      context.beginPath();
      context.arc(x(codes.places[2 * i]!), y(codes.places[2 * i + 1]!), radius, 0, 2 * Math.PI);
      context.fillStyle = images.labels ? classColor(images.labels[i]) : color('--accent');
      context.globalAlpha = 0.85;
      context.fill();
    }
    context.globalAlpha = 1;
    context.strokeStyle = pictures.value && backdrop.current ? '#fff' : color('--text');
    context.lineWidth = 2;
    const [from, to] = [start.value, place.value];
    if (from && to) {
      context.beginPath();
      context.moveTo(x(from.u), y(from.v));
      context.lineTo(x(to.u), y(to.v));
      context.stroke();
    }
    for (const each of [from, to]) {
      if (!each) continue;
      context.beginPath();
      context.arc(x(each.u), y(each.v), 7, 0, 2 * Math.PI);
      context.stroke();
    }
  };

  const decode = useRef(
    newestOnly(async (code: Float32Array, label: number, since: number) => {
      try {
        shown.value = await player.decode(code, label);
        // Told for the bench of the studio: from the pointer's event to the image.
        requestAnimationFrame(() => performance.measure('pointer to image', { start: since, end: performance.now() }));
      } catch (error) {
        complain(error);
      }
    }),
  );
  const decodeWalk = useRef(
    newestOnly(async (codes: Float32Array, label: number) => {
      walk.value = await player.decode(codes, label).catch(() => undefined);
    }),
  );

  const look = ({ u, v }: Place, since: number) => decode.current(codeAt(codes!.plane, u, v), told, since);

  const go = (to: Place, since: number) => {
    place.value = to;
    look(to, since);
    if (start.value) {
      const ends = [start.value, to].map(({ u, v }) => codeAt(codes!.plane, u, v)) as [Float32Array, Float32Array];
      decodeWalk.current(between(...ends, WALK), told);
    }
    paint.current();
  };

  // The backdrop: what the plane decodes to, in a grid.
  useEffect(() => {
    if (!codes || !view) return;
    let gone = false;
    const all = new Float32Array(BACKDROP * BACKDROP * codes.size);
    for (let i = 0; i < BACKDROP * BACKDROP; i++) {
      const [column, row] = [i % BACKDROP, Math.floor(i / BACKDROP)];
      const at = (index: number) => ((2 * index + 1) / BACKDROP - 1) * view.half;
      all.set(codeAt(codes.plane, view.u + at(column), view.v - at(row)), i * codes.size);
    }
    player.decode(all, told).then((decoded) => {
      if (gone) return;
      const whole = document.createElement('canvas');
      whole.width = BACKDROP * shape.width;
      whole.height = BACKDROP * shape.height;
      const context = whole.getContext('2d')!;
      for (let i = 0; i < BACKDROP * BACKDROP; i++) {
        const [column, row] = [i % BACKDROP, Math.floor(i / BACKDROP)];
        context.putImageData(pixelsOf(decoded, shape, i), column * shape.width, row * shape.height);
      }
      backdrop.current = whole;
      paint.current();
    }, complain);
    const { u, v } = place.value ?? view;
    decode.current(codeAt(codes.plane, u, v), told, performance.now());
    return () => {
      gone = true;
    };
  }, [codes, told]);

  useEffect(() => {
    paint.current();
    const repaint = () => paint.current();
    const observer = new ResizeObserver(repaint);
    observer.observe(canvas.current!);
    const stop = onScheme(repaint);
    return () => {
      observer.disconnect();
      stop();
    };
  }, []);
  useEffect(() => paint.current(), [codes, pictures.value, step.value]);

  const onKeyDown = (event: KeyboardEvent) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!codes || !view) return;
    const { u, v } = place.value ?? view;
    if (move) {
      event.preventDefault();
      const by = KEY * view.half * (event.shiftKey ? 10 : 2);
      go({ u: u + move[0]! * by, v: v + move[1]! * by }, event.timeStamp);
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      start.value = start.value ? undefined : { u, v };
      paint.current();
    } else if (event.key === 'Escape') {
      start.value = undefined;
      walk.value = undefined;
      paint.current();
    }
  };

  const now = place.value;
  const near = now && codes ? nearest(Float32Array.from(codes.places), [now.u, now.v], 1)[0] : undefined;
  const nearLabel = near && images.labels ? images.labels[near.index] : undefined;
  const says = now
    ? `at (${now.u.toFixed(2)}, ${now.v.toFixed(2)})${nearLabel === undefined ? '' : `, near a ${nearLabel}`}`
    : 'Point at the map';
  const classes = images.labels ? [...new Set(images.labels)].sort((a, b) => a - b) : [];
  const dimensions = model.value!.codeSize;
  return (
    <div class="map-page">
      <div class="card map-side">
        <Picture data={shown.value} shape={shape} label={`The image ${says}`} class="large" />
        <p class="hint" id="map-place" aria-live="polite">
          {says}
        </p>
        {classes.length > 0 && (
          <ul class="legend" aria-label="Classes">
            {classes.map((each) => (
              <li key={each}>
                <span style={{ background: classColor(each) }} />
                {each}
              </li>
            ))}
          </ul>
        )}
        <Check checked={pictures.value} set={(checked) => (pictures.value = checked)}>
          Decoded images behind the points
        </Check>
        <p class="hint">
          {dimensions > 2
            ? `Codes of ${codes?.count ?? '…'} images by their first two principal components, of ${dimensions} dimensions: ${codes ? Math.round(100 * codes.plane.share) : '…'} % of their variance.`
            : `Codes of ${codes?.count ?? '…'} images.`}{' '}
          Drag from here to there to see the way between. Keys: arrows walk, Enter sets where a way begins, Escape
          forgets it.
        </p>
      </div>
      <div class="card map-place">
        {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys of its own, which a screen reader must let through */}
        <canvas
          ref={canvas}
          id="map"
          class="map"
          tabIndex={0}
          role="application"
          aria-roledescription="map"
          aria-label="Map of the latent space: arrows walk over it"
          onPointerDown={(event) => {
            if (!codes) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            start.value = toPlace(event);
            walk.value = undefined;
            go(toPlace(event), event.timeStamp);
          }}
          onPointerMove={(event) => {
            if (!codes) return;
            // A mouse that is not pressed only looks, and leaves the last way in its place.
            if (event.buttons === 0 && walk.value) return look(toPlace(event), event.timeStamp);
            go(toPlace(event), event.timeStamp);
          }}
          onPointerUp={(event) => {
            const [from, to] = [start.value, toPlace(event)];
            // A click is no way.
            if (from && Math.hypot(from.u - to.u, from.v - to.v) < 0.02 * view!.half) start.value = undefined;
            paint.current();
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <section class="card walk" aria-label="The way">
        <h2>
          From here to there <small>{walk.value ? '' : 'drag over the map'}</small>
        </h2>
        <div class="strip">
          {Array.from({ length: WALK }, (_, i) => (
            <Picture
              key={i}
              data={walk.value}
              shape={shape}
              index={i}
              label={walk.value ? `Step ${i + 1} of ${WALK} on the way` : 'Empty'}
            />
          ))}
        </div>
      </section>
    </div>
  );
}
