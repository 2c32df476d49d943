// The loss over the steps, drawn by uPlot, which is loaded when there is something to draw.
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { unitOf } from '../../../src/train/registry/registry.ts';
import { color, onScheme } from '../parts/theme.ts';
import { curve, started } from './session.ts';

const HEIGHT = 300;

export function LossPlot() {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shown = curve.value;
  const losses = shown?.losses;
  const unit = started.value ? unitOf(started.value.options.model) : 'nats';
  useEffect(() => {
    const where = place.current!;
    let gone = false;
    const create = async () => {
      const [{ createPlot }] = await Promise.all([
        import('../../../src/view/plot.ts'),
        import('uplot/dist/uPlot.min.css'),
      ]);
      if (gone || !losses) return;
      plot.current?.destroy();
      plot.current = createPlot(losses, where, {
        ...{ width: where.clientWidth, height: HEIGHT, font: '12px system-ui, sans-serif', unit },
        style: {
          ...{ text: color('--muted'), grid: color('--line'), steps: color('--steps') },
          ...{ train: color('--accent'), test: color('--test') },
        },
      });
    };
    void create();
    const stop = onScheme(() => void create());
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: where.clientWidth, height: HEIGHT }));
    observer.observe(where);
    return () => {
      gone = true;
      stop();
      observer.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [losses, unit]);
  useEffect(() => {
    if (losses) plot.current?.setData(losses.data);
  }, [shown?.version]);
  return <div ref={place} class="plot" role="img" aria-label={`The loss over the steps, in ${unit}`} />;
}
