// What the studio trains on: digits and sentences of its own, and what a person brought, of the kind that the model learns from.
import { transfer } from 'comlink';
import { strokeDigits } from '../../../src/data/digits.ts';
import type { Files, ReadProgress } from '../../../src/data/files.ts';
import { isText } from '../../../src/data/text.ts';
import type { Vocabulary } from '../../../src/data/vocabulary.ts';
import { OptionError } from '../../../src/errors.ts';
import { builtInData, builtInText, isOfText, readData } from '../../../src/train/built_in.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { type AnyDataset, describeDataset } from '../store/datasets.ts';
import { type DataInfo, isOwn } from '../store/record.ts';
import type { RunStore } from '../store/runs.ts';
import { type DrawnPicture, draw } from './session.ts';

/** Images, or characters, of a preview. */
const IMAGES = 24;
const CHARACTERS = 480;

/** Data that are ready, as the page shows them. */
export interface Preview {
  readonly info: DataInfo;
  readonly picture?: DrawnPicture;
  readonly text?: string;
}

function preview(dataset: AnyDataset, info: DataInfo): Preview {
  if (isText(dataset)) return { info, text: dataset.vocabulary.decode(dataset.train.subarray(0, CHARACTERS)) };
  const { height, width, channels, images } = dataset.test;
  const data = Float32Array.from(images.subarray(0, IMAGES * height * width * channels), (byte) => byte / 255);
  const picture = draw({ name: 'preview', caption: 'some of the images', data, columns: 8, height, width, channels });
  return transfer({ info, picture }, [picture.bitmap]);
}

type Kind = 'images' | 'text';
const kindOf = (options: TrainOptions): Kind => (isOfText(options) ? 'text' : 'images');

/** Between two tellings of how far the reading is: milliseconds. */
const TELL_MS = 100;

export class Data {
  /** Of the user's: the files, and what they hold. */
  private readonly brought: Partial<Record<Kind, { readonly files: Files; readonly dataset: AnyDataset }>> = {};

  /** Some of what the studio makes for a model. */
  async builtIn(options: TrainOptions): Promise<Preview> {
    const dataset = isOfText(options) ? await builtInText(options) : strokeDigits({ seed: 0, train: 1, test: IMAGES });
    return preview(dataset, await describeDataset(dataset, false));
  }

  /** Reads what a person brought, for a model. @throws DataError if it learns from something else */
  async read(files: Files, options: TrainOptions, told: ReadProgress): Promise<Preview> {
    const dataset = await this.datasetFrom(files, options, undefined, told);
    this.brought[kindOf(options)] = { files, dataset };
    return preview(dataset, await describeDataset(dataset, true));
  }

  /** The same files once more, with other options. */
  readAgain(options: TrainOptions, told: ReadProgress): Promise<Preview> {
    return this.read(this.ofUser(options).files, options, told);
  }

  private datasetFrom(
    files: Files,
    options: TrainOptions,
    vocabulary: Vocabulary | undefined,
    told: ReadProgress,
  ): Promise<AnyDataset> {
    let shown = performance.now();
    const progress: ReadProgress = (done, total) => {
      if (performance.now() - shown < TELL_MS) return;
      shown = performance.now();
      told(done, total);
    };
    return readData(files, options, vocabulary, progress);
  }

  private ofUser(options: TrainOptions) {
    const kind = kindOf(options);
    const found = this.brought[kind];
    if (!found) throw new OptionError(`there ${kind === 'text' ? 'is no text' : 'are no images'} yet: choose some`);
    return found;
  }

  forget(options: TrainOptions): void {
    delete this.brought[kindOf(options)];
  }

  /** @param vocabulary of a checkpoint, which a text must keep to */
  async forNewRun(options: TrainOptions, own: boolean, vocabulary?: Vocabulary) {
    const given = own ? this.ofUser(options) : undefined;
    const dataset = !given
      ? await builtInData(options, vocabulary)
      : vocabulary
        ? await this.datasetFrom(given.files, options, vocabulary, () => {})
        : given.dataset;
    const info = await describeDataset(dataset, own);
    return { dataset, info: own ? info : { ...info, name: `built-in ${info.kind}, seed ${options.seed}` } };
  }

  /** What a run was trained on: kept with it, made again, or brought again. @throws OptionError if that is not to be had */
  async ofRun(runs: RunStore, id: string, vocabulary?: Vocabulary): Promise<AnyDataset> {
    const { data, options } = await runs.get(id);
    const kind = kindOf(options);
    const dataset = isOwn(data)
      ? ((await runs.dataset(id)) ?? this.brought[kind]?.dataset)
      : await builtInData(options, vocabulary);
    if (!dataset) {
      throw new OptionError(
        `its ${kind} (${data.name}) ${kind === 'text' ? 'was' : 'were'} not kept in this browser: give ` +
          `${kind === 'text' ? 'it' : 'them'} once more to go on`,
      );
    }
    const { digest } = await describeDataset(dataset, isOwn(data));
    if (digest !== data.digest) {
      throw new OptionError(`this is other ${kind} than what the run was trained on (${data.name})`);
    }
    return dataset;
  }
}
