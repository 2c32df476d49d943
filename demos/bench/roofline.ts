// The bench's rows on the roofline of this adapter.
import { type Row, rateOf, shareOf, show, summarize } from '../../src/bench/results.ts';
import type { Ceilings } from '../../src/runtime/ceilings.ts';
import { Roofline, type RooflineWork } from '../../src/view/roofline.ts';

export class BenchRoofline {
  private readonly card: HTMLElement;
  private readonly place: HTMLElement;
  private readonly detail: HTMLElement;
  private plot: Roofline | undefined;
  private shown: { ceilings: Ceilings; rows: readonly Row[] } | undefined;

  constructor(card: HTMLElement, place: HTMLElement, detail: HTMLElement) {
    this.card = card;
    this.place = place;
    this.detail = detail;
    new ResizeObserver(() => this.plot?.resize()).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      if (this.shown) this.show(this.shown.ceilings, this.shown.rows);
    });
  }

  /** Rows that Glia has not been timed at are left out. */
  show(ceilings: Ceilings, rows: readonly Row[]): void {
    this.shown = { ceilings, rows };
    const timed = rows.filter((row) => rateOf(row, 'glia'));
    this.card.hidden = timed.length === 0;
    if (timed.length === 0) return;
    this.plot?.destroy();
    this.plot = new Roofline(this.place, ceilings, timed.map(workOf), (index) => {
      this.plot!.highlighted = index;
      if (index !== undefined) this.detail.textContent = describe(timed[index]!, ceilings);
    });
  }
}

function workOf(row: Row): RooflineWork {
  const { work, cells } = row;
  const { flops, bytes } = work!;
  const { median } = summarize((cells.glia as { samples: readonly number[] }).samples);
  const kind = rateOf(row, 'glia')!.unit === 'GB/s' ? 'reduction' : 'matmul';
  // Rows are of different work: none is a part of the others, so all dots are alike.
  return { intensity: flops / bytes, gigaflops: flops / median / 1e6, weight: 0.05, color: `--${kind}` };
}

function describe(row: Row, ceilings: Ceilings): string {
  const { median, rate } = show(row, 'glia');
  return `${row.name}: ${median} ms, ${rate}, ${Math.round(100 * shareOf(row, 'glia', ceilings)!)} % of its roof`;
}
