// Images on the page: bitmaps that a worker drew, and images as the numbers that they are.

import { useLayoutEffect, useRef } from 'preact/hooks';
import type { ImageShape } from '../../../src/data/resize.ts';
import { pixelsOf } from '../../../src/view/pictures.ts';
import type { DrawnPicture } from '../work/session.ts';
import { CardTitle } from './ui.tsx';

/** A bitmap keeps its place in the page from its first showing on. */
export function Bitmap({ bitmap, label, id }: { bitmap: ImageBitmap; label: string; id?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const { current } = canvas;
    if (!current || bitmap.width === 0) return;
    current.width = bitmap.width;
    current.height = bitmap.height;
    current.getContext('2d')!.drawImage(bitmap, 0, 0);
  }, [bitmap]);
  return (
    <canvas
      ref={canvas}
      id={id}
      role="img"
      aria-label={label}
      class="pixels"
      width={bitmap.width}
      height={bitmap.height}
    />
  );
}

export function PictureCard({ picture }: { picture: DrawnPicture }) {
  const { name, caption, bitmap } = picture;
  return (
    <section class="card">
      <CardTitle name={name} caption={caption} />
      <Bitmap bitmap={bitmap} label={`${name}: ${caption}`} />
    </section>
  );
}

/** One image, a pixel a pixel; the page makes it as large as its place. */
export function Picture(props: {
  data: ArrayLike<number> | undefined;
  shape: ImageShape;
  index?: number;
  label: string;
  class?: string;
}) {
  const { data, shape, index = 0, label } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (data) canvas.current!.getContext('2d')!.putImageData(pixelsOf(data, shape, index), 0, 0);
  }, [data, shape, index]);
  return (
    <canvas
      ref={canvas}
      role="img"
      aria-label={label}
      class={`pixels ${props.class ?? ''}`}
      width={shape.width}
      height={shape.height}
    />
  );
}
