// The profile of a training step, as the page shows it.
import { clockOf, totalsOf } from '../../../src/cli/profile/format.ts';
import { type Profile, traceOf } from '../../../src/runtime/profile.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { downloadJson } from '../../../src/view/download.ts';
import { Roofline } from '../../../src/view/roofline.ts';
import { describe, drawBars, drawTable, kindOf, type Rows } from './bars.ts';
import { element, make } from './dom.ts';

export class StepView {
  private profile: Profile | undefined;
  private options: TrainOptions | undefined;
  private roofline: Roofline | undefined;
  private rows: readonly Rows[] = [];
  private readonly plot = element('roofline');
  private readonly order = element<HTMLSelectElement>('order');

  constructor() {
    this.order.addEventListener('change', () => this.list());
    element('save-json').addEventListener('click', () => {
      downloadJson('profile.json', { options: this.options, ...this.profile });
    });
    element('save-trace').addEventListener('click', () => downloadJson('trace.json', traceOf(this.profile!)));
    new ResizeObserver(() => this.roofline?.resize()).observe(this.plot);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.drawRoofline());
  }

  show(profile: Profile, options: TrainOptions): void {
    this.profile = profile;
    this.options = options;
    element('step-results').hidden = false;
    element('step-welcome').hidden = true;
    element('totals').replaceChildren(
      ...totalsOf(profile).map(({ name, value, note }) =>
        make('div', '', make('dt', '', name), make('dd', '', value), make('dd', 'note', note)),
      ),
    );
    element('clock').textContent = `Medians; ${clockOf(profile)}.`;
    this.drawRoofline();
    this.list();
  }

  private drawRoofline(): void {
    if (!this.profile) return;
    this.roofline?.destroy();
    const { ceilings, dispatches, dispatchMs } = this.profile;
    const work = dispatches.map((dispatch) => {
      const { intensity, gigaflops, ms } = dispatch;
      return { intensity, gigaflops, weight: ms / dispatchMs, color: `--${kindOf(dispatch)}` };
    });
    this.roofline = new Roofline(this.plot, ceilings, work, this.select);
  }

  private list(): void {
    const { profile } = this;
    if (!profile) return;
    const order = [...profile.dispatches.keys()];
    if (this.order.value === 'time') order.sort((a, b) => profile.dispatches[b]!.ms - profile.dispatches[a]!.ms);
    this.rows = [
      drawBars(element('bars'), profile, order, this.select),
      drawTable(element('dispatches'), profile, order, this.select),
    ];
    this.select(undefined);
  }

  private readonly select = (index: number | undefined): void => {
    for (const rows of this.rows) for (const [i, row] of rows) row.classList.toggle('selected', i === index);
    if (this.roofline) this.roofline.highlighted = index;
    // Kept in place while it is empty, so that nothing jumps.
    const detail = element('detail');
    detail.classList.toggle('empty', index === undefined);
    if (index !== undefined) detail.textContent = describe(this.profile!, index);
  };
}
