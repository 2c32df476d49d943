// What the bench found, for people as it comes, and for programs at the end.
import { writeFileSync } from 'node:fs';
import { type BenchOptions, ENGINES, type Row, shareOf, show, showCeilings, toJson } from '../../bench/results.ts';
import type { Ceilings } from '../../runtime/ceilings.ts';

export interface ReportOptions extends BenchOptions {
  /** File for all samples. */
  readonly json: string | undefined;
}

/** Prints the rows as they come, and writes the file at the end. */
export class Report {
  wrong = false;
  private readonly options: ReportOptions;
  private readonly rows: Row[] = [];
  private about: Readonly<Record<string, string>> = {};
  private ceilings: Ceilings | undefined;

  constructor(options: ReportOptions) {
    this.options = options;
  }

  /** @param about where it is measured, for people and for the file */
  begin(about: Readonly<Record<string, string>>, ceilings: Ceilings): void {
    this.about = about;
    this.ceilings = ceilings;
    const { rounds, engines } = this.options;
    console.log(Object.values(about).join(', '));
    console.log(showCeilings(ceilings));
    const peers = engines.length > 1 ? '; × as much as Glia in the same round' : '';
    console.log(
      rounds === 1 ? `one round${peers}` : `median (least–most) of ${rounds} rounds, of what is slow fewer${peers}`,
    );
    console.log('% roof: the share of what the nearer ceiling allows; beyond 100 where data stay in caches\n');
    const names = engines.map((name) => ENGINES[name]);
    this.line('', '', names, 'rate', '% roof');
  }

  private line(name: string, unit: string, cells: readonly string[], rate: string, share: string): void {
    const [glia = '', ...peers] = cells;
    const text = [
      name.padEnd(40),
      unit.padEnd(3),
      glia.padEnd(21),
      rate.padStart(13),
      share.padStart(7),
      ' ',
      ...peers.map((cell) => cell.padEnd(29)),
    ];
    console.log(text.join(' ').trimEnd());
  }

  row(row: Row): void {
    this.progress('');
    this.rows.push(row);
    const notes: string[] = [];
    const cells = this.options.engines.map((engine) => {
      const { median, range, ratio, error } = show(row, engine);
      if (error) notes.push(`${ENGINES[engine]}: ${error}`);
      return error ? '–' : [median, range && `(${range})`, ratio].filter(Boolean).join(' ');
    });
    const share = this.ceilings && shareOf(row, 'glia', this.ceilings);
    this.line(
      row.name,
      row.unit,
      cells,
      show(row, 'glia').rate,
      share === undefined ? '' : `${Math.round(100 * share)}`,
    );
    for (const note of notes) console.log(`  ${note}`);
    this.wrong ||= notes.some((note) => note.startsWith(ENGINES.glia));
  }

  /** One line that is overwritten, where somebody watches. */
  progress(what: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`);
  }

  end(): void {
    this.progress('');
    const { json, rounds, engines } = this.options;
    const { about, ceilings, rows } = this;
    if (json && ceilings) writeFileSync(json, toJson({ about, ceilings, rounds, engines, rows }));
  }
}
