// The worker that reads images and trains, so that the page's own thread stays free.
import { expose, transfer } from 'comlink';
import { builtInDigits, strokeDigits } from '../../../src/data/digits.ts';
import type { Files } from '../../../src/data/files.ts';
import { readDataset } from '../../../src/data/formats.ts';
import type { Dataset } from '../../../src/data/images.ts';
import type { Look } from '../../../src/data/resize.ts';
import { CheckpointError, OptionError } from '../../../src/errors.ts';
import { decodeCheckpoint, namedOptions } from '../../../src/train/checkpoint.ts';
import { trainByName } from '../../../src/train/named.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { describeDataset } from '../store/datasets.ts';
import type { DataInfo } from '../store/record.ts';
import { RunStore } from '../store/runs.ts';
import { type Brought, filesOf } from './brought.ts';
import { deviceOf } from './device.ts';
import { type DrawnPicture, draw, type Listener, Session } from './session.ts';

const PREVIEW = 24;

/** Images that are ready, as the page shows them. */
export interface Preview {
  readonly info: DataInfo;
  readonly picture: DrawnPicture;
}

export interface Started {
  readonly id: string;
  readonly name: string;
  readonly options: TrainOptions;
  readonly data: DataInfo;
  /** The last step of each epoch, by its number. */
  readonly stepsUntil: readonly number[];
}

type Stage = (what: string) => void;

const device = deviceOf();
let session: Session | undefined;
/** Images of the user's, and the files that they came from. */
let brought: { readonly files: Files; readonly dataset: Dataset } | undefined;
const store = RunStore.open();

function preview(dataset: Dataset, info: DataInfo): Preview {
  const { height, width, channels, images } = dataset.test;
  const data = Float32Array.from(images.subarray(0, PREVIEW * height * width * channels), (byte) => byte / 255);
  const picture = draw({ name: 'preview', caption: 'some of the images', data, columns: 8, height, width, channels });
  return transfer({ info, picture }, [picture.bitmap]);
}

async function digestOf(dataset: Dataset, options: Pick<TrainOptions, 'seed'>, isOwn: boolean): Promise<DataInfo> {
  const info = await describeDataset(dataset, isOwn ? 'images' : 'digits');
  return isOwn ? info : { ...info, name: `built-in digits, seed ${options.seed}` };
}

/** The images that a run was trained on: kept with it, drawn again, or brought again. */
async function datasetOf(id: string): Promise<Dataset> {
  const runs = await store;
  const { data, options } = await runs.get(id);
  const dataset = data.kind === 'digits' ? builtInDigits(options) : ((await runs.dataset(id)) ?? brought?.dataset);
  if (!dataset) {
    throw new OptionError(`its images (${data.name}) were not kept in this browser: give them once more to go on`);
  }
  const { digest } = await describeDataset(dataset, data.kind);
  if (digest !== data.digest) {
    throw new OptionError(`these are other images than those that the run was trained on (${data.name})`);
  }
  return dataset;
}

async function readFiles(files: Files, look: Look, told: (done: number, total: number) => void): Promise<Preview> {
  let shown = performance.now();
  const dataset = await readDataset(files, look, (done, total) => {
    if (performance.now() - shown < 100) return;
    shown = performance.now();
    told(done, total);
  });
  brought = { files, dataset };
  return preview(dataset, await describeDataset(dataset, 'images'));
}

const api = {
  /** The adapter's name. @throws UnsupportedError where there is none */
  async adapter(): Promise<string> {
    return (await device()).name;
  },

  /** Some of the digits that the studio draws. */
  async digits(): Promise<Preview> {
    const dataset = strokeDigits({ seed: 0, train: 1, test: PREVIEW });
    return preview(dataset, await describeDataset(dataset, 'digits'));
  },

  /** Reads images of the user's. @throws DataError if they are none */
  async read(list: readonly Brought[], look: Look, told: (done: number, total: number) => void): Promise<Preview> {
    return readFiles(filesOf(list), look, told);
  },

  /** Reads them once more, of another look. */
  async readAgain(look: Look, told: (done: number, total: number) => void): Promise<Preview> {
    if (!brought) throw new OptionError('there are no images yet: choose some');
    return readFiles(brought.files, look, told);
  },

  forget(): void {
    brought = undefined;
  },

  /** Makes a new run, of the images that were read last or of digits, from a checkpoint that was brought or from nothing. */
  async create(
    given: {
      readonly name: string;
      readonly options: TrainOptions;
      readonly ownImages: boolean;
      readonly keep: boolean;
      readonly checkpoint?: { readonly name: string; readonly bytes: Uint8Array } | undefined;
    },
    listener: Listener,
    stage: Stage,
  ): Promise<Started> {
    const { name, options, ownImages, keep } = given;
    stage(ownImages ? 'Looking at the images …' : 'Drawing digits …');
    if (ownImages && !brought) throw new OptionError('there are no images yet: choose some');
    const dataset = ownImages ? brought!.dataset : builtInDigits(options);
    const info = await digestOf(dataset, options, ownImages);
    const checkpoint =
      given.checkpoint && decodeCheckpoint(given.checkpoint.bytes as Uint8Array<ArrayBuffer>, given.checkpoint.name);
    stage('Compiling shaders …');
    const trainer = await trainByName(await device(), dataset, options, { checkpoint });
    const runs = await store;
    try {
      const kept = ownImages && keep ? dataset : undefined;
      const record = await runs.create({ name, options, data: info, totalSteps: trainer.totalSteps, dataset: kept });
      const writer = await runs.open(record.id);
      const snapshot = await trainer.checkpoint();
      await writer.commit({ snapshot, changes: { step: trainer.step } });
      return await begin(new Session(trainer, writer, dataset, listener, []));
    } catch (error) {
      trainer.destroy();
      throw error;
    }
  },

  /** Takes up a run of the store where its newest snapshot is. */
  async open(id: string, listener: Listener, stage: Stage): Promise<Started> {
    const runs = await store;
    const writer = await runs.open(id);
    try {
      const { options, name } = writer.record;
      stage('Reading the images …');
      const dataset = await datasetOf(id);
      const bytes = await runs.snapshot(id);
      if (!bytes) throw new CheckpointError(`${name} has no snapshot: it was interrupted before the first`);
      stage('Compiling shaders …');
      const checkpoint = decodeCheckpoint(bytes, name);
      const now = { ...namedOptions(checkpoint.progress.options, name), ...options };
      const trainer = await trainByName(await device(), dataset, now, { checkpoint });
      return await begin(new Session(trainer, writer, dataset, listener, await runs.events(id)));
    } catch (error) {
      writer.close();
      throw error;
    }
  },

  /** Resolves when it is paused or done. @throws what ended it */
  async play(): Promise<'paused' | 'done'> {
    await session!.play();
    return session!.isDone ? 'done' : 'paused';
  },

  async pause(): Promise<void> {
    await session?.pause();
  },

  /** Of a run that stands still. */
  setLearningRate(lr: number): void {
    session!.trainer.setLearningRate(lr);
  },

  weights(): Promise<Uint8Array> {
    return session!.trainer.weights();
  },

  checkpoint(): Promise<Uint8Array> {
    return session!.trainer.checkpoint();
  },

  /** Ends the session. The run is kept. */
  async close(): Promise<void> {
    await session?.close();
    session = undefined;
  },
};

async function begin(next: Session): Promise<Started> {
  session = next;
  const { trainer, writer } = next;
  const { id, name, options, data } = writer.record;
  next.tell();
  // Shows what the model makes of the data before it has learned anything, which also compiles what shows it.
  await next.showPictures();
  const epochs = Math.min(trainer.epochs, 10_000);
  const stepsUntil = Array.from({ length: epochs + 1 }, (_, epoch) => trainer.stepsUntil(epoch));
  return { id, name, options, data, stepsUntil };
}

export type TrainerApi = typeof api;

expose(api);
