// The roofline: how fast each piece of work is done, over how much it computes a byte, below what this adapter allows.
import uPlot from 'uplot';
import type { Ceilings } from '../runtime/ceilings.ts';

const HEIGHT = 360;
const FONT = '12px system-ui, sans-serif';
/** Radii of dots, in CSS pixels; their area is the share of the time. */
const RADIUS = { least: 3, whole: 26 };
/** The floor lies so far below the roof. */
const DEPTH = 2000;
/** A pointer this near to a dot means it. */
const NEAR = 10;

/** One dot. */
export interface RooflineWork {
  /** Operations a byte. */
  readonly intensity: number;
  readonly gigaflops: number;
  /** Its share of all, from 0 to 1, which the dot's area shows. */
  readonly weight: number;
  /** The name of its colour among the page's custom properties: `--matmul`. */
  readonly color: string;
}

interface Dot {
  readonly index: number;
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

export class Roofline {
  private readonly place: HTMLElement;
  private readonly ceilings: Ceilings;
  private readonly work: readonly RooflineWork[];
  private readonly plot: uPlot;
  private selected: number | undefined;

  /** @param select is told which work the pointer is at, if it is at one */
  constructor(
    place: HTMLElement,
    ceilings: Ceilings,
    work: readonly RooflineWork[],
    select: (index: number | undefined) => void,
  ) {
    this.place = place;
    this.ceilings = ceilings;
    this.work = work;
    this.plot = this.create();
    this.plot.over.addEventListener('mousemove', ({ offsetX, offsetY }) => select(this.at(offsetX, offsetY)));
    this.plot.over.addEventListener('mouseleave', () => select(undefined));
  }

  set highlighted(index: number | undefined) {
    if (index === this.selected) return;
    this.selected = index;
    this.plot.redraw(false);
  }

  resize(): void {
    this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
  }

  destroy(): void {
    this.plot.destroy();
  }

  private create(): uPlot {
    const { gigaflops, gigabytesPerSecond } = this.ceilings;
    const ridge = gigaflops / gigabytesPerSecond;
    const shown = this.work.filter((work) => work.gigaflops > 0);
    const intensities = [ridge, ...shown.map(({ intensity }) => intensity)];
    const [left, right] = [Math.min(...intensities) / 2, Math.max(...intensities) * 2];
    const rates = [gigaflops, ...shown.map((work) => work.gigaflops)];
    // What hardly takes time need not press the others together: it lies on the floor.
    const low = Math.max(Math.min(...rates) / 2, gigaflops / DEPTH);
    const high = Math.max(...rates) * 2;
    const axis = {
      stroke: color('--muted'),
      font: FONT,
      labelFont: FONT,
      labelGap: 2,
      grid: { stroke: color('--line'), width: 1 },
      ticks: { stroke: color('--line'), width: 1 },
      values: (_: uPlot, splits: number[]) =>
        splits.map((value) => (isDecade(value) ? String(Number(value.toPrecision(3))) : '')),
    };
    const roof = [left, ridge, right].map((x) => Math.min(gigaflops, x * gigabytesPerSecond));
    return new uPlot(
      {
        width: this.place.clientWidth,
        height: HEIGHT,
        padding: [16, 16, 0, 0],
        legend: { show: false },
        cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
        scales: {
          x: { time: false, distr: 3, range: [left, right] },
          y: { distr: 3, range: [low, high] },
        },
        axes: [
          { ...axis, label: 'operations a byte', size: 34, labelSize: 18 },
          { ...axis, label: 'GFLOP/s', size: 52, labelSize: 18 },
        ],
        series: [{}, { stroke: color('--text'), width: 2, points: { show: false } }],
        hooks: { draw: [(plot) => this.draw(plot)] },
      },
      [[left, ridge, right], roof],
      this.place,
    );
  }

  /** Dots in pixels of the plot, the largest first, so that none is hidden. */
  private dots(plot: uPlot, canvas: boolean): Dot[] {
    const scale = canvas ? devicePixelRatio : 1;
    const { min, max } = plot.scales.y as { min: number; max: number };
    return this.work
      .map(({ intensity, gigaflops, weight }, index) => ({
        index,
        x: plot.valToPos(Math.max(intensity, plot.scales.x!.min!), 'x', canvas),
        y: plot.valToPos(Math.min(max, Math.max(min, gigaflops)), 'y', canvas),
        radius: scale * Math.max(RADIUS.least, RADIUS.whole * Math.sqrt(weight)),
      }))
      .sort((a, b) => b.radius - a.radius);
  }

  private draw(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const { index, x, y, radius } of this.dots(plot, true)) {
      ctx.beginPath();
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
      ctx.fillStyle = color(this.work[index]!.color);
      ctx.globalAlpha = this.selected === undefined || this.selected === index ? 0.7 : 0.25;
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.strokeStyle = color(index === this.selected ? '--text' : '--card');
      ctx.lineWidth = devicePixelRatio * (index === this.selected ? 2 : 1);
      ctx.stroke();
    }
    this.nameRoofs(plot);
    ctx.restore();
  }

  private nameRoofs(plot: uPlot): void {
    const { gigaflops, gigabytesPerSecond } = this.ceilings;
    const { ctx, bbox } = plot;
    const size = 12 * devicePixelRatio;
    ctx.font = `${size}px system-ui, sans-serif`;
    ctx.fillStyle = color('--muted');
    ctx.textBaseline = 'bottom';
    ctx.textAlign = 'right';
    const top = plot.valToPos(gigaflops, 'y', true);
    ctx.fillText(`${round(gigaflops)} GFLOP/s`, bbox.left + bbox.width - 0.5 * size, top - 0.3 * size);
    const { min, max } = plot.scales.x as { min: number; max: number };
    const end = Math.min(max, gigaflops / gigabytesPerSecond);
    const [x0, x1] = [min, end].map((x) => plot.valToPos(x, 'x', true)) as [number, number];
    const [y0, y1] = [min, end].map((x) => plot.valToPos(x * gigabytesPerSecond, 'y', true)) as [number, number];
    ctx.textAlign = 'center';
    ctx.translate((x0 + x1) / 2, (y0 + y1) / 2);
    ctx.rotate(Math.atan2(y1 - y0, x1 - x0));
    ctx.fillText(`${round(gigabytesPerSecond)} GB/s`, 0, -0.4 * size);
  }

  private at(x: number, y: number): number | undefined {
    const dots = this.dots(this.plot, false).reverse();
    return dots.find((dot) => Math.hypot(dot.x - x, dot.y - y) <= Math.max(dot.radius, NEAR))?.index;
  }
}

/** A colour of the theme that is in force. */
function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

const round = (value: number) => (value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

function isDecade(value: number): boolean {
  return Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6;
}
