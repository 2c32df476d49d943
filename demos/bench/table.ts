// The table on the page: a row a workload, there from the start, filled as results come.
import { ENGINES, type EngineName, type Row, ratioToGlia, shareOf, show } from '../../src/bench/results.ts';
import type { Ceilings } from '../../src/runtime/ceilings.ts';

function element<T extends keyof HTMLElementTagNameMap>(tag: T, text = '', className = ''): HTMLElementTagNameMap[T] {
  return Object.assign(document.createElement(tag), { textContent: text, className });
}

export interface TableContent {
  readonly engines: readonly EngineName[];
  readonly rows: readonly Row[];
  /** Shares of them are shown, once they are known. */
  readonly ceilings: Ceilings | undefined;
}

export class Table {
  private readonly engines: readonly EngineName[];
  private readonly ceilings: Ceilings | undefined;
  private readonly rows = new Map<string, HTMLTableRowElement>();

  constructor(head: HTMLElement, body: HTMLElement, { engines, rows, ceilings }: TableContent) {
    this.engines = engines;
    this.ceilings = ceilings;
    const [own, ...peers] = engines.map((name) => ENGINES[name]);
    const titles = element('tr');
    titles.append(
      element('th'),
      ...[own!, 'rate', '% of roof', ...peers].map((title) => Object.assign(element('th', title), { scope: 'col' })),
    );
    head.replaceChildren(titles);
    for (const row of rows) {
      this.rows.set(row.id, element('tr'));
      this.fill(row);
    }
    body.replaceChildren(...this.rows.values());
  }

  fill(row: Row): void {
    const name = Object.assign(element('th', `${row.name}, ${row.unit}`), { scope: 'row' });
    const [own, ...peers] = this.engines.map((engine) => this.cell(row, engine));
    const rate = element('td', show(row, 'glia').rate);
    this.rows.get(row.id)?.replaceChildren(name, own!, rate, this.share(row), ...peers);
  }

  /** As a number and as a bar. */
  private share(row: Row): HTMLTableCellElement {
    const share = this.ceilings && shareOf(row, 'glia', this.ceilings);
    if (share === undefined) return element('td');
    const cell = element('td', `${Math.round(100 * share)}`, 'share');
    cell.style.setProperty('--share', `${Math.min(100, 100 * share)}%`);
    return cell;
  }

  private cell(row: Row, engine: EngineName): HTMLTableCellElement {
    const { median, range, ratio, rate, error } = show(row, engine);
    const cell = element('td', median);
    if (ratio) cell.append(' ', element('span', ratio, `ratio ${ratioToGlia(row, engine)! < 1 ? 'behind' : 'ahead'}`));
    if (range) cell.append(element('small', range));
    if (rate && engine !== 'glia') cell.append(element('small', rate));
    if (error) cell.append(element('small', error, 'error'));
    return cell;
  }
}
