// The table on the page: a row a workload, there from the start, filled as results come.
import { ENGINES, type EngineName, type Row, ratioToGlia, show } from '../../src/bench/results.ts';

function element<T extends keyof HTMLElementTagNameMap>(tag: T, text = '', className = ''): HTMLElementTagNameMap[T] {
  return Object.assign(document.createElement(tag), { textContent: text, className });
}

export class Table {
  private readonly engines: readonly EngineName[];
  private readonly rows = new Map<string, HTMLTableRowElement>();

  constructor(head: HTMLElement, body: HTMLElement, engines: readonly EngineName[], rows: readonly Row[]) {
    this.engines = engines;
    const titles = element('tr');
    titles.append(
      element('th'),
      ...engines.map((name) => Object.assign(element('th', ENGINES[name]), { scope: 'col' })),
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
    this.rows.get(row.id)?.replaceChildren(name, ...this.engines.map((engine) => this.cell(row, engine)));
  }

  private cell(row: Row, engine: EngineName): HTMLTableCellElement {
    const { median, range, ratio, rate, error } = show(row, engine);
    const cell = element('td', median);
    if (ratio) cell.append(' ', element('span', ratio, `ratio ${ratioToGlia(row, engine)! < 1 ? 'behind' : 'ahead'}`));
    if (range) cell.append(element('small', range));
    if (rate) cell.append(element('small', `${rate} GFLOP/s`));
    if (error) cell.append(element('small', error, 'error'));
    return cell;
  }
}
