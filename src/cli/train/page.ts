// The page behind `npm run train`: runs the trainer, and sends what it tells and makes to the command.

import type { Dataset } from '../../data/images.ts';
import { isText, type TextDataset } from '../../data/text.ts';
import { tokenizerFromText } from '../../data/tokenizer_file.ts';
import type { Vocabulary } from '../../data/vocabulary.ts';
import { DeviceLostError, NotFiniteError } from '../../errors.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { decodeCheckpoint, decodeTrained } from '../../train/checkpoint.ts';
import type { Means, StepEvent, TrainEvent } from '../../train/events.ts';
import type { Recovery } from '../../train/healing.ts';
import { trainByName } from '../../train/named.ts';
import { isTextEntry, modelEntry, unitOf } from '../../train/registry/registry.ts';
import { textFile } from '../../train/texts.ts';
import { vocabularyOf } from '../../train/trained_text.ts';
import type { Trainer } from '../../train/trainer.ts';
import { drawPicture, toPng } from '../../view/pictures.ts';
import { LossCurve, plotPicture } from '../../view/plot.ts';
import { get, loadData, loadText } from './fetch.ts';
import { type Job, type Outcome, STOP, type StartEvent, TELL, type Tell } from './protocol.ts';

/** Between epochs that are shorter than this, nothing is saved: milliseconds. */
const SAVE_INTERVAL = 1000;
/** Least time between two that are saved, in the time that saving takes. */
const SAVE_SHARE = 50;
/** Events travel together, so that the training does not wait for them: milliseconds. */
const TELL_INTERVAL = 200;

/** The command asks a page to stop by an event on its window. */
function askedToStop(): AbortSignal {
  const stop = new AbortController();
  addEventListener(STOP, () => stop.abort());
  return stop.signal;
}

/** @param base where the command has the job's files, and takes those that are made */
export async function run(base: string, stop = askedToStop()): Promise<Outcome> {
  try {
    return await train(base, stop);
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { event: 'error', name, message };
  }
}

async function train(base: string, stop: AbortSignal): Promise<Outcome> {
  const job = JSON.parse(await (await get(base, 'job.json')).text()) as Job;
  const checkpoint = job.checkpoint
    ? decodeCheckpoint(new Uint8Array(await (await get(base, 'checkpoint')).arrayBuffer()), job.checkpoint)
    : undefined;
  const init = job.init
    ? decodeTrained(new Uint8Array(await (await get(base, 'init')).arrayBuffer()), job.init)
    : undefined;
  let told = performance.now();
  const progress = (done: number, total: number) => {
    if (performance.now() - told < TELL_INTERVAL) return;
    told = performance.now();
    void tell([{ event: 'reading', done, total }]);
  };
  const before = checkpoint ?? init;
  const known = before ? await vocabularyOf(before) : await tokenizerOf(base, job);
  const dataset = isTextEntry(modelEntry(job.options.model))
    ? await loadText(base, job.options, known, progress)
    : await loadData(base, job.options, progress);
  void tell([{ event: 'reading', done: 1, total: 1 }]);
  const gpu = await Gpu.request();
  const onRecovery = ({ reason, from, otherAdapter, gpu }: Recovery) => {
    const event = { event: 'recovered', reason, step: from } as const;
    void tell([otherAdapter ? { ...event, adapter: gpu.name } : event]);
  };
  const trainer = await trainByName(gpu, dataset, job.options, {
    ...{ checkpoint, init, onRecovery, testEvery: job.testEvery },
  });
  return new Session(base, trainer, dataset, job).train(stop);
}

/** The vocabulary of a tokenizer.json that was given. */
async function tokenizerOf(base: string, { tokenizer }: Job): Promise<Vocabulary | undefined> {
  return tokenizer === undefined
    ? undefined
    : tokenizerFromText(await (await get(base, 'tokenizer.json')).text(), tokenizer);
}

/** Of what kind the data are, and how many. */
function kindOf(dataset: Dataset | TextDataset) {
  if (isText(dataset)) {
    const { train, test, vocabulary } = dataset;
    const { kind, size } = vocabulary;
    return { train: train.length, test: test.length, vocabulary: { kind, size } };
  }
  const { train, test } = dataset;
  const { height, width, channels } = train;
  return { train: train.count, test: test.count, images: { height, width, channels } };
}

const tell: Tell = (...args) => (globalThis as unknown as Record<typeof TELL, Tell>)[TELL](...args);

class Session {
  private readonly base: string;
  private readonly trainer: Trainer;
  private readonly dataset: Dataset | TextDataset;
  private readonly model: string;
  private readonly curve: LossCurve;
  /** A step event is kept for metrics.jsonl every so many steps. */
  private readonly every: number;
  private kept: (StartEvent | TrainEvent)[] = [];
  private latest: StepEvent | undefined;
  private told = 0;
  private readonly saveEvery: number;
  /** The step after which everything was saved last. */
  private saved: number | undefined;
  private savedAt = 0;
  private saveMs = 0;
  private test: Means | undefined;

  constructor(base: string, trainer: Trainer, dataset: Dataset | TextDataset, { options, history, saveEvery }: Job) {
    this.base = base;
    this.trainer = trainer;
    this.dataset = dataset;
    this.model = options.model;
    this.saveEvery = saveEvery;
    this.curve = new LossCurve();
    for (const event of history) this.curve.add(event);
    const perEpoch = trainer.stepsUntil(1);
    this.every = Math.max(Math.min(10, Math.ceil(perEpoch / 100)), Math.ceil(perEpoch / 5000));
  }

  async train(stop: AbortSignal): Promise<Outcome> {
    const { trainer, dataset } = this;
    const { gpu, parameters, terms, step, totalSteps, streamedThrough } = trainer;
    const { software } = gpu.adapter;
    const data = { name: dataset.name, ...kindOf(dataset), streamedThrough };
    const run = { adapter: gpu.name, software, weights: parameters.count, terms, data, step, totalSteps };
    this.kept.push({ event: 'start', ...run });
    await this.saveCheckpoint();
    try {
      for (;;) {
        const pause = AbortSignal.any([stop, AbortSignal.timeout(1000 * this.saveEvery)]);
        for await (const event of trainer.train(pause)) await this.take(event);
        if (stop.aborted || !pause.aborted) break;
        await this.saveCheckpoint();
      }
      // Stopped after the last step: what is left is the test of the last epoch.
      if (trainer.step === totalSteps) for await (const event of trainer.train()) await this.take(event);
    } catch (error) {
      // Of the last good step, or of the last that is known where the device is lost for good.
      if (error instanceof NotFiniteError || error instanceof DeviceLostError) await this.saveCheckpoint();
      throw error;
    } finally {
      await this.flush();
    }
    if (this.saved !== trainer.step) await this.saveAll();
    if (stop.aborted && trainer.step < totalSteps) return { event: 'stopped', step: trainer.step };
    return { event: 'done', step: trainer.step, test: this.test ?? (await trainer.evaluate())! };
  }

  private async take(event: TrainEvent): Promise<void> {
    const { totalSteps } = this.trainer;
    if (event.event === 'epoch') {
      this.keep(event);
      this.test = event.test;
      await this.flush();
      if (performance.now() - this.savedAt > Math.max(SAVE_INTERVAL, SAVE_SHARE * this.saveMs)) await this.saveAll();
      return;
    }
    this.latest = event;
    this.test = undefined;
    const { step } = event;
    if (step === 1 || step === totalSteps || step % this.every === 0) this.keep(event);
    // Nobody waits: a failure to tell ends the page anyway.
    if (performance.now() - this.told > TELL_INTERVAL) void this.flush();
  }

  private keep(event: TrainEvent): void {
    this.kept.push(event);
    this.curve.add(event);
  }

  private flush(): Promise<void> {
    const { kept, latest } = this;
    this.kept = [];
    this.latest = undefined;
    this.told = performance.now();
    return tell(kept, latest);
  }

  /** What was told before stands in the metrics when the checkpoint is there. */
  private async saveCheckpoint(): Promise<void> {
    await this.flush();
    await this.post('checkpoint.safetensors', await this.trainer.checkpoint());
  }

  private async saveAll(): Promise<void> {
    const began = performance.now();
    this.saved = this.trainer.step;
    await this.saveCheckpoint();
    await this.post('model.safetensors', await this.trainer.weights());
    if ('document' in globalThis) await this.savePictures();
    const of = { model: this.model, step: this.saved };
    for (const shown of await this.trainer.texts()) {
      await this.post(`${shown.name}.txt`, new TextEncoder().encode(textFile(shown, of)));
    }
    this.savedAt = performance.now();
    this.saveMs = this.savedAt - began;
  }

  private async savePictures(): Promise<void> {
    await this.post('loss.png', await toPng(await plotPicture(this.curve, unitOf(this.model))));
    for (const picture of await this.trainer.pictures()) {
      const canvas = document.createElement('canvas');
      drawPicture(canvas, picture);
      await this.post(`${picture.name}.png`, await toPng(canvas));
    }
  }

  private async post(name: string, content: Uint8Array | Blob): Promise<void> {
    const response = await fetch(`${this.base}/${name}`, { method: 'POST', body: content as BodyInit });
    if (!response.ok) throw new Error(`${name} could not be written: ${await response.text()}`);
  }
}
