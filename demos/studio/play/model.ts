// The model that is played with, and what its codes say of the images that it is shown with.
import { computed, effect, signal, untracked } from '@preact/signals';
import { wrap } from 'comlink';
import { DataError } from '../../../src/errors.ts';
import { complain, message, refreshRuns, route, runs, visit } from '../state.ts';
import type { Brought } from '../work/brought.ts';
import type { Playable, PlayerApi } from '../work/player.worker.ts';
import { type Codes, carried, orderOf, planeOf, project } from './analysis.ts';

const worker = new Worker(new URL('../work/player.worker.ts', import.meta.url), { type: 'module', name: 'player' });
export const player = wrap<PlayerApi>(worker);
worker.addEventListener('error', (event) => {
  event.preventDefault();
  model.value = undefined;
  complain(new DataError('the worker that plays stopped: reload the page, or choose a smaller model'));
});

export interface Loaded extends Playable {
  /** The run that it is of, if it is of one. */
  readonly run: string | undefined;
}

export const model = signal<Loaded | undefined>(undefined);
export const loading = signal('');
/** The step that the weights are of; it moves while the run goes on. */
export const step = signal<number | undefined>(undefined);
/** The class that the model is told. */
export const label = signal(0);
/** Images that it is shown with, [count, …shape]. */
export const examples = signal<Float32Array | undefined>(undefined);
/** What was drawn last, or taken from the examples: the morph and the codes begin there too. */
export const image = signal<Float32Array | undefined>(undefined);

export const pixels = computed(() => {
  const { height, width, channels } = model.value?.shape ?? { height: 0, width: 0, channels: 0 };
  return height * width * channels;
});

export const exampleAt = (index: number) => examples.value!.slice(index * pixels.value, (index + 1) * pixels.value);

/** Codes of the examples, once they are known, with the plane that the map shows. */
export const space = signal<
  | (Codes & {
      readonly kl: Float64Array;
      readonly order: readonly number[];
      readonly plane: ReturnType<typeof planeOf>;
      readonly places: Float64Array;
    })
  | undefined
>(undefined);

async function analyse(): Promise<void> {
  const { codeSize: size } = model.value!;
  if (size === 0) return;
  const found = await player.codes();
  const codes = { ...found, size, count: found.mean.length / size };
  const kl = carried(codes);
  const plane = planeOf(codes);
  space.value = { ...codes, kl, order: orderOf(kl), plane, places: project(codes, plane) };
}

async function load(what: string, work: () => Promise<Playable>, run: string | undefined): Promise<void> {
  loading.value = `Loading ${what} …`;
  try {
    const playable = await work();
    space.value = undefined;
    image.value = undefined;
    label.value = 0;
    const { count } = playable.images;
    examples.value = count > 0 ? await player.examples(0, count) : undefined;
    step.value = playable.step;
    model.value = { ...playable, run };
    await analyse();
  } finally {
    loading.value = '';
  }
}

/** The run that is being loaded. */
let asked: string | undefined;

/** Loads the run that the address names. */
async function loadRun(id: string): Promise<void> {
  const name = runs.value?.find((run) => run.id === id)?.name ?? 'the run';
  asked = id;
  try {
    await load(name, () => player.loadRun(id), id);
  } finally {
    asked = undefined;
  }
}

/** A model that was dropped or chosen; or images, to see the model with these. */
export async function takeFiles(all: readonly Brought[]): Promise<void> {
  const saved = all.find(({ path }) => path.endsWith('.safetensors'));
  const others = all.filter((file) => file !== saved);
  if (saved) {
    const bytes = new Uint8Array(await saved.file.arrayBuffer());
    visit('play', 'file');
    await load(saved.path, () => player.loadFile(saved.path, bytes), undefined);
  }
  if (others.length === 0) return;
  if (!model.value) throw new DataError('choose a model first, and then the images to see it with');
  await load('the images', () => player.showWith(others), model.value.run);
}

/** Follows the address. */
effect(() => {
  const { page, rest } = route.value;
  if (page !== 'play' || rest === '' || rest === 'file') return;
  untracked(() => {
    if ((asked ?? model.value?.run) === rest) return;
    message.value = undefined;
    loadRun(rest).catch(complain);
  });
});

/** Follows a run that goes on. */
let isRefreshing = false;
effect(() => {
  // Read, so that this runs whenever runs have changed.
  const mine = runs.value?.find(({ id }) => id === model.value?.run);
  if (!mine || isRefreshing || route.peek().page !== 'play') return;
  isRefreshing = true;
  player
    .refresh()
    .then(async (newer) => {
      if (newer === undefined) return;
      await analyse();
      step.value = newer;
    })
    .catch(() => {})
    .finally(() => {
      isRefreshing = false;
    });
});

void refreshRuns();
