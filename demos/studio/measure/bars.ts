// A bar for each dispatch, and the table of all: two views of one list.
import { COLUMNS, cellsOf, percent, short } from '../../../src/cli/profile/format.ts';
import type { DispatchProfile, Profile } from '../../../src/runtime/profile.ts';
import { make } from './dom.ts';

/** What a dispatch is, for its colour. */
export function kindOf({ label, variant }: DispatchProfile): 'matmul' | 'reduction' | 'pointwise' {
  if (label.split('+').includes('matmul')) return 'matmul';
  return variant === 'pointwise' ? 'pointwise' : 'reduction';
}

type Select = (index: number | undefined) => void;

/** Rows by the index of their dispatch. */
export type Rows = Map<number, HTMLElement>;

function listen(row: HTMLElement, index: number, select: Select): void {
  row.addEventListener('mouseenter', () => select(index));
  row.addEventListener('mouseleave', () => select(undefined));
  row.addEventListener('focus', () => select(index));
  row.addEventListener('blur', () => select(undefined));
}

export function drawBars(place: HTMLElement, profile: Profile, order: readonly number[], select: Select): Rows {
  const longest = Math.max(...profile.dispatches.map(({ ms }) => ms));
  const rows: Rows = new Map();
  for (const index of order) {
    const dispatch = profile.dispatches[index]!;
    const bar = make('span', `bar ${kindOf(dispatch)}`);
    bar.style.width = `${(100 * dispatch.ms) / longest}%`;
    const time = make('span', 'time', `${short(dispatch.ms)} ms`);
    const row = make(
      'li',
      '',
      make('span', 'name', `${index + 1} ${dispatch.label}`),
      make('span', 'track', bar),
      time,
    );
    row.tabIndex = 0;
    listen(row, index, select);
    rows.set(index, row);
  }
  place.replaceChildren(...rows.values());
  return rows;
}

export function drawTable(table: HTMLElement, profile: Profile, order: readonly number[], select: Select): Rows {
  const isWords = COLUMNS.map((column) => 'weight' in column);
  const head = make('tr', '');
  for (const [i, { head: text, help }] of COLUMNS.entries()) {
    const cell = make('th', isWords[i] ? 'words' : '', text);
    cell.title = help;
    head.append(cell);
  }
  const rows: Rows = new Map();
  for (const index of order) {
    const cells = cellsOf(profile, index).map((text, i) => make('td', isWords[i] ? 'words' : '', text));
    // Words may be cut off.
    for (const cell of cells) cell.title = cell.textContent;
    const row = make('tr', '', ...cells);
    listen(row, index, select);
    rows.set(index, row);
  }
  table.replaceChildren(make('thead', '', head), make('tbody', '', ...rows.values()));
  return rows;
}

/** One dispatch in two lines. */
export function describe(profile: Profile, index: number): string {
  const { label, variant, shapes, workgroups, ms, gigaflops, gigabytesPerSecond, intensity, share } =
    profile.dispatches[index]!;
  const rates = `${short(gigaflops)} GFLOP/s, ${short(gigabytesPerSecond)} GB/s, ${short(intensity)} operations a byte`;
  return (
    `${index + 1} ${label} by ${variant}: ${shapes}, ${workgroups.join('×')} workgroups\n` +
    `${short(ms)} ms, ${percent(ms / profile.dispatchMs)} % of the sum; ${rates}; ${percent(share)} % of its roof`
  );
}
