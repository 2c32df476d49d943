// The worker that reads data and trains, so that the page's own thread stays free.
import { expose } from 'comlink';
import { CheckpointError } from '../../../src/errors.ts';
import { decodeCheckpoint, namedOptions } from '../../../src/train/checkpoint.ts';
import { trainByName } from '../../../src/train/named.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { vocabularyOf } from '../../../src/train/trained_text.ts';
import type { DataInfo } from '../store/record.ts';
import { RunStore } from '../store/runs.ts';
import { type Brought, filesOf } from './brought.ts';
import { Data, type Preview } from './data.ts';
import { deviceOf } from './device.ts';
import { type Listener, Session, tellRecovery } from './session.ts';

export interface Started {
  readonly id: string;
  readonly name: string;
  readonly options: TrainOptions;
  readonly data: DataInfo;
  /** The last step of each epoch, by its number. */
}

type Stage = (what: string) => void;
type Progressed = (done: number, total: number) => void;

const device = deviceOf();
const data = new Data();
let session: Session | undefined;
const store = RunStore.open();

const api = {
  /** The adapter's name. @throws UnsupportedError where there is none */
  async adapter(): Promise<string> {
    return (await device()).name;
  },

  /** Some of what the studio makes for a model where nothing is given. */
  builtIn: (options: TrainOptions): Promise<Preview> => data.builtIn(options),

  /** Reads images or text of the user's. @throws DataError if they are none */
  read(list: readonly Brought[], options: TrainOptions, told: Progressed): Promise<Preview> {
    return data.read(filesOf(list), options, told);
  },

  /** Reads them once more, with other options. */
  readAgain: (options: TrainOptions, told: Progressed): Promise<Preview> => data.readAgain(options, told),

  /** Goes back to what the studio makes. */
  forget: (options: TrainOptions): void => data.forget(options),

  /** Makes a new run, of what was read last or of the studio's own data, from a checkpoint that was brought or from nothing. */
  async create(
    given: {
      readonly name: string;
      readonly options: TrainOptions;
      readonly own: boolean;
      readonly keep: boolean;
      readonly checkpoint?: { readonly name: string; readonly bytes: Uint8Array } | undefined;
    },
    listener: Listener,
    stage: Stage,
  ): Promise<Started> {
    const { name, options, own, keep } = given;
    const checkpoint =
      given.checkpoint && decodeCheckpoint(given.checkpoint.bytes as Uint8Array<ArrayBuffer>, given.checkpoint.name);
    stage(own ? 'Looking at the data …' : 'Making data …');
    const { dataset, info } = await data.forNewRun(options, own, checkpoint && (await vocabularyOf(checkpoint)));
    stage('Compiling shaders …');
    const run = { checkpoint, onRecovery: tellRecovery(listener) };
    const trainer = await trainByName(await device(), dataset, options, run);
    const runs = await store;
    try {
      const kept = own && keep ? dataset : undefined;
      const record = await runs.create({ name, options, data: info, totalSteps: trainer.totalSteps, dataset: kept });
      const writer = await runs.open(record.id);
      const snapshot = await trainer.checkpoint();
      await writer.commit({ snapshot, changes: { step: trainer.step } });
      return await begin(new Session(trainer, writer, listener, []));
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
      stage('Reading the data …');
      const bytes = await runs.snapshot(id);
      if (!bytes) throw new CheckpointError(`${name} has no snapshot: it was interrupted before the first`);
      const checkpoint = decodeCheckpoint(bytes, name);
      const dataset = await data.ofRun(runs, id, await vocabularyOf(checkpoint));
      stage('Compiling shaders …');
      const now = { ...namedOptions(checkpoint.progress.options, name), ...options };
      const run = { checkpoint, onRecovery: tellRecovery(listener) };
      const trainer = await trainByName(await device(), dataset, now, run);
      return await begin(new Session(trainer, writer, listener, await runs.events(id)));
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

  /** Of the steps that are submitted from now on. */
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
  const { id, name, options, data } = next.writer.record;
  next.tell();
  // Shows what the model makes of the data before it has learned anything, which also compiles what shows it.
  await next.showSamples();
  return { id, name, options, data };
}

export type TrainerApi = typeof api;

expose(api);
