// What the bench found, for people as it comes, and for programs at the end.
import { writeFileSync } from 'node:fs';
import {
  type BenchOptions,
  ENGINES,
  type EngineName,
  gflopsOf,
  type Row,
  ratioToGlia,
  show,
  summarize,
} from '../../bench/results.ts';

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

  constructor(options: ReportOptions) {
    this.options = options;
  }

  /** @param about where it is measured, for people and for the file */
  begin(about: Readonly<Record<string, string>>): void {
    this.about = about;
    console.log(Object.values(about).join(', '));
    const { rounds } = this.options;
    console.log(
      `median (least–most) of ${rounds} rounds, of what is slow fewer; × as much as Glia in the same round\n`,
    );
    const engines = this.options.engines.map((name) => ENGINES[name]);
    this.line('', '', engines, 'GFLOP/s');
  }

  private line(name: string, unit: string, cells: readonly string[], rate: string): void {
    const [glia = '', ...peers] = cells;
    const text = [
      name.padEnd(35),
      unit.padEnd(3),
      glia.padEnd(21),
      rate.padEnd(9),
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
    this.line(row.name, row.unit, cells, show(row, 'glia').rate);
    for (const note of notes) console.log(`  ${note}`);
    this.wrong ||= notes.some((note) => note.startsWith(ENGINES.glia));
  }

  /** One line that is overwritten, where somebody watches. */
  progress(what: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`);
  }

  end(): void {
    this.progress('');
    const { json, rounds } = this.options;
    if (!json) return;
    const date = new Date().toISOString();
    const rows = this.rows.map((row) => ({
      ...row,
      cells: this.options.engines.map((engine) => describe(row, engine)),
    }));
    writeFileSync(json, `${JSON.stringify({ date, ...this.about, rounds, rows }, null, 1)}\n`);
  }
}

/** A cell for programs to read. */
function describe(row: Row, engine: EngineName) {
  const cell = row.cells[engine];
  const name = ENGINES[engine];
  if (!cell || 'error' in cell) return { engine: name, ...cell };
  return {
    engine: name,
    ...summarize(cell.samples),
    ratio: ratioToGlia(row, engine),
    gflops: gflopsOf(row, engine),
    samples: cell.samples,
  };
}
