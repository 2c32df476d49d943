// What all pages of the studio share: where one is, the adapter, the runs, and what there is to say.
import { signal } from '@preact/signals';
import { wrap } from 'comlink';
import { lineOf } from './parts/errors.ts';
import type { RunRecord } from './store/record.ts';
import { RunStore } from './store/runs.ts';
import type { TrainerApi } from './work/trainer.worker.ts';

export const PAGES = ['home', 'train', 'play', 'runs', 'compress', 'measure'] as const;
export type PageName = (typeof PAGES)[number];

export interface Route {
  readonly page: PageName;
  /** What the address says after the page: the id of a run. */
  readonly rest: string;
}

/** `#/play/ID` is the page to play with run ID. */
function read(): Route {
  const [, name = '', ...rest] = location.hash.split('/');
  return { page: PAGES.find((page) => page === name) ?? 'home', rest: rest.join('/') };
}

export const route = signal(read());
function arrive(): void {
  const next = read();
  if (next.page === route.value.page && next.rest === route.value.rest) return;
  route.value = next;
  message.value = undefined;
}
addEventListener('hashchange', arrive);

export const addressOf = (page: PageName, rest = '') => `#/${page === 'home' ? '' : page}${rest && `/${rest}`}`;

export function visit(page: PageName, rest = ''): void {
  location.hash = addressOf(page, rest);
  // The event comes later; what is said from here on is said on that page.
  arrive();
}

/** One line for the user: what went wrong, or what was done. */
export interface Message {
  readonly line: string;
  readonly kind: 'error' | 'note';
  /** Whether room has to be made. */
  readonly quota?: boolean;
}

export const message = signal<Message | undefined>(undefined);

export function complain(error: unknown): void {
  const { name } = error instanceof Error ? error : new Error();
  message.value = { line: lineOf(error), kind: 'error', quota: name === 'QuotaError' };
}

/** Does it, and tells what went wrong if something does. */
export async function attempt<T>(work: () => Promise<T> | T): Promise<T | undefined> {
  message.value = undefined;
  try {
    return await work();
  } catch (error) {
    complain(error);
    return undefined;
  }
}

export const runs = signal<readonly RunRecord[] | undefined>(undefined);
/** Ids of those that some tab trains now. */
export const trained = signal<ReadonlySet<string>>(new Set());

export const store = RunStore.open();

/** Milliseconds. */
const RECHECK_MS = 1000;
let again: ReturnType<typeof setTimeout> | undefined;
let listing = Promise.resolve();
export function refreshRuns(): Promise<void> {
  listing = listing.then(async () => {
    const all = await store;
    const [list, now] = await Promise.all([all.list(), all.training()]);
    runs.value = list;
    trained.value = now;
    // A tab that was closed or reloaded lets go of its run a moment later, and tells nobody.
    clearTimeout(again);
    if (list.some(({ id, state }) => state === 'training' && now.has(id))) again = setTimeout(refreshRuns, RECHECK_MS);
  });
  return listing.catch(complain);
}

void store.then((all) => all.listen(() => void refreshRuns()), complain);
void refreshRuns();

export type Adapter =
  | { readonly state: 'looking' }
  | { readonly state: 'there'; readonly name: string }
  | { readonly state: 'none'; readonly reason: string };

export const adapter = signal<Adapter>({ state: 'looking' });

let worker = newWorker();
let onDeath = (_: string) => {};

function newWorker() {
  const made = new Worker(new URL('./work/trainer.worker.ts', import.meta.url), { type: 'module', name: 'trainer' });
  made.addEventListener('error', (event) => {
    event.preventDefault();
    onDeath(event.message || 'it ran out of memory, or could not be loaded');
  });
  return wrap<TrainerApi>(made);
}

/** The worker that trains. */
export const trainer = () => worker;

/** Calls when the worker has died: another one stands ready then. */
export function whenTrainerDies(told: (reason: string) => void): void {
  onDeath = (reason) => {
    worker = newWorker();
    told(reason);
  };
}

export async function findAdapter(): Promise<void> {
  if (!navigator.gpu) {
    const reason = isSecureContext ? 'this browser has no WebGPU' : 'WebGPU wants a page from https or from localhost';
    adapter.value = { state: 'none', reason };
    return;
  }
  try {
    adapter.value = { state: 'there', name: await worker.adapter() };
  } catch (error) {
    adapter.value = { state: 'none', reason: lineOf(error) };
  }
}
