// Curves of several runs over each other: those of one unit, since a nat a token is not a nat an image.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { unitOf } from '../../../src/train/registry/registry.ts';
import { LossCurve } from '../../../src/view/plot.ts';
import { classColor, color, onScheme } from '../parts/theme.ts';
import { attempt, store } from '../state.ts';
import type { RunRecord } from '../store/record.ts';
import 'uplot/dist/uPlot.min.css';

const HEIGHT = 300;

/** Steps, smoothed losses and test losses of a run. */
async function curveOf({ id }: RunRecord): Promise<uPlot.AlignedData> {
  const curve = new LossCurve();
  for (const event of await (await store).events(id)) curve.add(event);
  const [x, , smooth, test] = curve.data;
  return [x, smooth, test] as unknown as uPlot.AlignedData;
}

export function Curves({ runs }: { runs: readonly RunRecord[] }) {
  const units = [...new Set(runs.map(({ options }) => unitOf(options.model)))];
  return units.map((unit) => (
    <Curve key={unit} unit={unit} runs={runs.filter(({ options }) => unitOf(options.model) === unit)} />
  ));
}

function Curve({ runs, unit }: { runs: readonly RunRecord[]; unit: string }) {
  const place = useRef<HTMLDivElement>(null);
  const key = runs.map(({ id, events, name }) => `${id} ${events} ${name}`).join();
  useEffect(() => {
    const where = place.current!;
    let plot: uPlot | undefined;
    let gone = false;
    const show = (data: uPlot.AlignedData) => {
      plot?.destroy();
      const axis = {
        stroke: color('--muted'),
        grid: { stroke: color('--line'), width: 1 },
        ticks: { stroke: color('--line'), width: 1 },
      };
      const value = (_: uPlot, loss: number | null) => (Number.isFinite(loss) ? loss!.toFixed(2) : '–');
      plot = new uPlot(
        {
          ...{ width: where.clientWidth, height: HEIGHT },
          scales: { x: { time: false } },
          axes: [
            { ...axis, label: 'step', size: 34, labelSize: 18 },
            { ...axis, label: `loss, ${unit}`, size: 52, labelSize: 18 },
          ],
          series: [
            { label: 'step' },
            ...runs.flatMap(({ name }, i): uPlot.Series[] => [
              { label: name, stroke: classColor(i), width: 2, points: { show: false }, spanGaps: true, value },
              {
                label: `${name}, test`,
                stroke: classColor(i),
                width: 1,
                dash: [5, 4],
                points: { show: true, size: 6 },
                spanGaps: true,
                value,
              },
            ]),
          ],
        },
        data,
        where,
      );
    };
    let data: uPlot.AlignedData | undefined;
    void attempt(async () => {
      const curves = await Promise.all(runs.map(curveOf));
      if (gone || curves.length === 0) return;
      data = uPlot.join(curves);
      show(data);
    });
    const stop = onScheme(() => data && show(data));
    const observer = new ResizeObserver(() => plot?.setSize({ width: where.clientWidth, height: HEIGHT }));
    observer.observe(where);
    return () => {
      gone = true;
      stop();
      observer.disconnect();
      plot?.destroy();
    };
  }, [key]);
  return (
    <div ref={place} class="plot" role="img" aria-label={`Losses of the chosen runs over the steps, in ${unit}`} />
  );
}
