// The run that this tab trains, as the page sees it: it goes on whatever page is shown.
import { computed, signal } from '@preact/signals';
import { proxy } from 'comlink';
import type { TrainOptions } from '../../../src/train/options.ts';
import type { ShownText } from '../../../src/train/texts.ts';
import type { LossCurve } from '../../../src/view/plot.ts';
import { lineOf } from '../parts/errors.ts';
import { complain, message, refreshRuns, store, trainer, whenTrainerDies } from '../state.ts';
import type { DrawnPicture, Listener, Progress, Recovered } from '../work/session.ts';
import type { Started } from '../work/trainer.worker.ts';

export type State = 'none' | 'preparing' | 'training' | 'pausing' | 'paused' | 'done' | 'failed';

/** Lost devices in a row, without a step in between, after which it is no accident. */
const MOST_LOSSES = 5;

export const state = signal<State>('none');
/** What is being done while it prepares. */
export const stage = signal('');
export const started = signal<Started | undefined>(undefined);
export const progress = signal<Progress | undefined>(undefined);
export const pictures = signal<readonly DrawnPicture[]>([]);
export const texts = signal<readonly ShownText[]>([]);
/** The curve so far, and how often it has changed. */
export const curve = signal<{ readonly losses: LossCurve; readonly version: number } | undefined>(undefined);
/** Why nothing can be saved, while nothing can be. */
export const trouble = signal<{ readonly line: string; readonly quota: boolean } | undefined>(undefined);
/** The last loss of the device, and how many there were. */
export const recovery = signal<(Recovered & { readonly count: number }) | undefined>(undefined);
export const failure = signal('');
export const isBusy = computed(() => ['preparing', 'training', 'pausing'].includes(state.value));

let losses = 0;

const listener: Listener & object = {
  progress(next) {
    progress.value = next;
    if (next.latest) losses = 0;
    void draw(next);
  },
  pictures(next) {
    for (const { bitmap } of pictures.value) bitmap.close();
    pictures.value = next;
  },
  texts(next) {
    texts.value = next;
  },
  trouble(line, quota) {
    trouble.value = line === undefined ? undefined : { line, quota };
  },
  recovered(now) {
    recovery.value = { ...now, count: (recovery.value?.count ?? 0) + 1 };
  },
};

const plot = () => import('../../../src/view/plot.ts');

async function draw({ events }: Progress): Promise<void> {
  if (events.length === 0 && curve.value) return;
  const { LossCurve } = await plot();
  const losses = curve.value?.losses ?? new LossCurve();
  for (const event of events) losses.add(event);
  curve.value = { losses, version: (curve.value?.version ?? 0) + 1 };
}

function reset(): void {
  progress.value = undefined;
  curve.value = undefined;
  trouble.value = undefined;
  recovery.value = undefined;
  failure.value = '';
  for (const { bitmap } of pictures.value) bitmap.close();
  pictures.value = [];
  texts.value = [];
}

async function prepare(work: (told: (what: string) => void) => Promise<Started>): Promise<boolean> {
  reset();
  stage.value = 'Getting ready …';
  state.value = 'preparing';
  // It is parsed while shaders are compiled, and not in the middle of the first steps.
  void plot().catch(() => {});
  message.value = undefined;
  try {
    started.value = await work(
      proxy((what: string) => {
        stage.value = what;
      }),
    );
    return true;
  } catch (error) {
    state.value = 'none';
    started.value = undefined;
    complain(error);
    return false;
  } finally {
    void refreshRuns();
  }
}

export interface NewSession {
  readonly name: string;
  readonly options: TrainOptions;
  readonly own: boolean;
  readonly keep: boolean;
  readonly checkpoint?: { readonly name: string; readonly bytes: Uint8Array } | undefined;
}

/** Starts a new run. */
export async function begin(given: NewSession): Promise<void> {
  // What is asked for once is kept for good: the browser does not throw it away when its disk is full.
  void navigator.storage?.persist?.().catch(() => false);
  const ready = await prepare((told) => trainer().create(given, proxy(listener), told));
  if (ready) await train();
}

/** Takes up a run where its newest snapshot is. */
export async function goOn(id: string): Promise<void> {
  if (started.value?.id === id && state.value === 'paused') return train();
  if (state.value !== 'none') await stop();
  const ready = await prepare((told) => trainer().open(id, proxy(listener), told));
  if (ready) await train();
}

async function train(): Promise<void> {
  state.value = 'training';
  message.value = undefined;
  try {
    state.value = await trainer().play();
  } catch (error) {
    const { name } = error instanceof Error ? error : new Error();
    const id = started.value?.id;
    if (name === 'DeviceLostError' && id && ++losses <= MOST_LOSSES) {
      await trainer().close();
      state.value = 'none';
      return goOn(id);
    }
    failure.value = lineOf(error);
    state.value = 'failed';
    complain(error);
  } finally {
    void refreshRuns();
  }
}

export async function pause(): Promise<void> {
  if (state.value !== 'training') return;
  state.value = 'pausing';
  await trainer().pause();
}

/** Ends the session; the run is kept. */
export async function stop(): Promise<void> {
  await pause();
  await trainer().close();
  state.value = 'none';
  started.value = undefined;
  reset();
  await refreshRuns();
}

/** Another run that goes on from here, while this one stays as it is. */
export async function fork(): Promise<void> {
  const { id } = started.value!;
  await pause();
  const { id: next } = await (await store).fork(id);
  await stop();
  await goOn(next);
}

/** Between two steps, so that weights, moments and counters belong together. */
export async function between<T>(work: () => Promise<T>): Promise<T> {
  const wasTraining = state.value === 'training';
  await pause();
  while (state.value === 'pausing') await new Promise((resolve) => setTimeout(resolve, 10));
  try {
    return await work();
  } finally {
    if (wasTraining && state.value === 'paused') void train();
  }
}

whenTrainerDies((reason) => {
  if (state.value === 'none') return;
  failure.value = `the worker that trains stopped: ${reason}`;
  state.value = 'failed';
  message.value = { line: `${failure.value}. The run is kept: go on from its newest snapshot.`, kind: 'error' };
});
