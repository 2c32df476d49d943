// The loss over the steps: kept small however long the run is, and drawn by uPlot on the page and into loss.png.
import uPlot from 'uplot';
import type { TrainEvent } from '../train/events.ts';

/** Points kept; more are merged two by two. */
const POINTS = 1000;
/** Share of the steps so far that a point of the smoothed curve looks back on. */
const MEMORY = 0.05;
/** Points that it looks back on at least. */
const FEWEST = 5;
/** Test losses that are drawn as points too; more would run together. */
const TEST_POINTS = 60;

export interface PlotStyle {
  readonly text: string;
  readonly grid: string;
  readonly steps: string;
  readonly train: string;
  readonly test: string;
}

/** Losses by step, thinned as they grow; events come in their order. */
export class LossCurve {
  private steps: number[] = [];
  private losses: number[] = [];
  private readonly tests = new Map<number, number>();
  /** Events that one point is the mean of. */
  private stride = 1;
  private sum = 0;
  private summed = 0;
  /** The step that was told last: a test is of the weights after it. */
  private last = 0;

  add(event: TrainEvent): void {
    if (event.event === 'epoch') {
      if (event.test) this.tests.set(this.last, event.test.loss);
      return;
    }
    this.last = event.step;
    this.sum += event.loss;
    if (++this.summed < this.stride) return;
    this.steps.push(event.step);
    this.losses.push(this.sum / this.summed);
    this.sum = this.summed = 0;
    if (this.steps.length < POINTS) return;
    const pairs = Array.from({ length: POINTS / 2 }, (_, i) => 2 * i);
    this.losses = pairs.map((i) => (this.losses[i]! + this.losses[i + 1]!) / 2);
    this.steps = pairs.map((i) => this.steps[i + 1]!);
    this.stride *= 2;
  }

  get epochs(): number {
    return this.tests.size;
  }

  /** Steps, losses, smoothed losses, test losses. */
  get data(): uPlot.AlignedData {
    const x = [...new Set([...this.steps, ...this.tests.keys()])].sort((a, b) => a - b);
    const raw = new Map(this.steps.map((step, i) => [step, this.losses[i]!]));
    const smooth = new Map(smoothed(this.losses).map((value, i) => [this.steps[i]!, value]));
    // A gap is null; undefined, which uPlot draws across, is where another curve has its point.
    const at = (values: ReadonlyMap<number, number>) => x.map((step) => values.get(step));
    return [x, at(raw), at(smooth), at(this.tests)] as uPlot.AlignedData;
  }
}

/** A moving average whose memory grows with the run, so that it follows the first fall as well as the long plain. */
function smoothed(values: readonly number[]): number[] {
  let mean = 0;
  return values.map((value, i) => {
    mean += (value - mean) / Math.max(Math.min(FEWEST, i + 1), MEMORY * i);
    return mean;
  });
}

/** Leaves the first steps, where the loss falls from far above, out of sight if all that matters lies below. */
function range({ data: [x, raw, , test] }: uPlot): uPlot.Range.MinMax {
  const values = (series: uPlot.AlignedData[number] | undefined, from: number) =>
    [...(series ?? [])].slice(from).filter((value): value is number => Number.isFinite(value));
  const seen = [...values(raw, x.length > 40 ? Math.ceil(x.length / 20) : 0), ...values(test, 0)];
  if (seen.length === 0) return [0, 1];
  const [low, high] = [Math.min(...seen), Math.max(...seen)];
  const margin = 0.08 * (high - low || Math.abs(high) || 1);
  return [low - margin, high + margin];
}

export interface PlotOptions {
  readonly width: number;
  readonly height: number;
  readonly style: PlotStyle;
  readonly font: string;
  /** Of the loss: `nats an image`. */
  readonly unit: string;
  /** Whether the names of the curves stand in the plot itself, as in a file, or below it with the values. */
  readonly inside?: boolean;
}

export function createPlot(curve: LossCurve, where: HTMLElement, options: PlotOptions): uPlot {
  const { width, height, style, font, unit, inside = false } = options;
  const show = (value: number | null | undefined) => (Number.isFinite(value) ? value!.toFixed(2) : '–');
  const value = (_: uPlot, loss: number | null) => show(loss);
  const axis = { stroke: style.text, font, labelFont: font, labelGap: 4, grid: { stroke: style.grid, width: 1 } };
  const ticks = { stroke: style.grid, width: 1 };
  const large = Number.parseInt(font, 10) / 12;
  return new uPlot(
    {
      width,
      height,
      padding: [12 * large, 16 * large, 0, 0],
      legend: { show: !inside },
      scales: { x: { time: false }, y: { range } },
      axes: [
        { ...axis, ticks, label: 'step', size: 36 * large, labelSize: 18 * large, space: 60 * large },
        { ...axis, ticks, label: unit, size: 56 * large, labelSize: 20 * large, space: 32 * large },
      ],
      series: [
        { label: 'step', value: (_, step) => (Number.isFinite(step) ? String(step) : '–') },
        { label: 'train', stroke: style.steps, width: large, points: { show: false }, value },
        { label: 'train, smoothed', stroke: style.train, width: 2 * large, points: { show: false }, value },
        {
          label: 'test',
          stroke: style.test,
          width: 2 * large,
          points: { show: () => curve.epochs <= TEST_POINTS, size: 7 * large, fill: style.test },
          value,
        },
      ],
      hooks: inside ? { draw: [(plot) => drawNames(plot, style, font)] } : {},
    },
    curve.data,
    where,
  );
}

function drawNames({ ctx, bbox, series }: uPlot, style: PlotStyle, font: string): void {
  const size = Number.parseInt(font, 10);
  ctx.save();
  ctx.font = font;
  ctx.textBaseline = 'middle';
  ctx.textAlign = 'left';
  const left = bbox.left + bbox.width - 12 * size;
  for (const [i, color] of [style.steps, style.train, style.test].entries()) {
    const y = bbox.top + (i + 1) * 1.6 * size;
    ctx.fillStyle = color;
    ctx.fillRect(left, y - size / 8, 1.6 * size, size / 4);
    ctx.fillStyle = style.text;
    ctx.fillText(String(series[i + 1]?.label), left + 2.2 * size, y);
  }
  ctx.restore();
}

const PAPER: PlotStyle = { text: '#222', grid: '#e4e4e4', steps: '#b7cdf0', train: '#2f6fd0', test: '#d9541e' };

/** The plot as a picture on white paper. */
export async function plotPicture(curve: LossCurve, unit: string): Promise<HTMLCanvasElement> {
  const where = document.createElement('div');
  const plot = createPlot(curve, where, {
    width: 1200 / devicePixelRatio,
    height: 720 / devicePixelRatio,
    style: PAPER,
    unit,
    font: '20px system-ui, sans-serif',
    inside: true,
  });
  // uPlot draws in a microtask of its own.
  await new Promise((resolve) => setTimeout(resolve));
  const { canvas } = plot.ctx;
  const paper = document.createElement('canvas');
  paper.width = canvas.width;
  paper.height = canvas.height;
  const context = paper.getContext('2d')!;
  context.fillStyle = '#fff';
  context.fillRect(0, 0, paper.width, paper.height);
  context.drawImage(canvas, 0, 0);
  plot.destroy();
  return paper;
}
