// What every example is given to show itself: words, a plot, a canvas.
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Stage {
  /** Shows a line; a later one takes its place. */
  say(line: string): void;
  /** Draws curves over common x: the first is drawn as points. A later plot takes its place. */
  plot(x: Float32Array, curves: Readonly<Record<string, Float32Array>>): void;
  readonly canvas: HTMLCanvasElement;
}

const COLORS = ['#8a8f98', '#d9541e', '#2f6fd0', '#2c8a4b'];

export function createStage(root: HTMLElement): Stage {
  const line = root.appendChild(document.createElement('p'));
  const chart = root.appendChild(document.createElement('div'));
  const canvas = root.appendChild(document.createElement('canvas'));
  canvas.hidden = true;
  let shown: uPlot | undefined;
  return {
    canvas,
    say(text) {
      line.textContent = text;
    },
    plot(x, curves) {
      shown?.destroy();
      const series = Object.keys(curves).map((label, i) => ({
        label,
        stroke: COLORS[i % COLORS.length]!,
        width: i === 0 ? 0 : 2,
        points: { show: i === 0, size: 4 },
      }));
      const width = Math.min(640, root.clientWidth || 640);
      const options = { width, height: 300, scales: { x: { time: false } }, series: [{ label: 'x' }, ...series] };
      shown = new uPlot(options, [x, ...Object.values(curves)], chart);
    },
  };
}
