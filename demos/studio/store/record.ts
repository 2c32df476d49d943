// What the store knows of a run, and the check of it: a record may come from another person's file.
import { CheckpointError } from '../../../src/errors.ts';
import type { TrainEvent } from '../../../src/train/events.ts';
import { savedOptions, type TrainOptions } from '../../../src/train/options.ts';

export const FORMAT = 'glia run 1';

/** Losses and what else was measured, by name. */
export type Numbers = Readonly<Record<string, number>>;

export interface DataInfo {
  /** Digits or sentences that the studio makes from the run's seed, or images or text of the user's. */
  readonly kind: (typeof KINDS)[number];
  readonly name: string;
  /** Images, or tokens. */
  readonly train: number;
  readonly test: number;
  /** Of images; 0 of text. */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly classes: number;
  /** How many kinds of tokens a text has. */
  readonly vocabulary?: number | undefined;
  /** SHA-256 of the training images or tokens, to tell others from them. */
  readonly digest: string;
}

const KINDS = ['digits', 'images', 'sentences', 'text'] as const;

/** Whether they are the user's. */
export const isOwn = ({ kind }: DataInfo) => kind === 'images' || kind === 'text';

/** What happened to it last; one that is `training` and that no tab trains was interrupted. */
export const STATES = ['training', 'paused', 'done', 'failed'] as const;
export type RunState = (typeof STATES)[number];

export interface RunRecord {
  readonly format: typeof FORMAT;
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly changed: number;
  readonly options: TrainOptions;
  readonly data: DataInfo;
  readonly state: RunState;
  /** Why it failed. */
  readonly failure?: string | undefined;
  /** Steps made when the newest snapshot was taken. */
  readonly step: number;
  readonly totalSteps: number;
  /** Seconds of training so far. */
  readonly seconds: number;
  /** The newest numbers, and those of the last test. */
  readonly latest?: Numbers | undefined;
  readonly test?: Numbers | undefined;
  /** The run that it was forked from. */
  readonly parent?: { readonly name: string; readonly step: number } | undefined;
  /** Lines of the metrics that belong to the snapshot. */
  readonly events: number;
  /** The file of the newest snapshot: two take turns. */
  readonly snapshot?: string | undefined;
  /** Whether the images are kept with it. */
  readonly keepsData: boolean;
  /** Bytes of its files. */
  readonly sizes: Numbers;
}

export const bytesOfRun = ({ sizes }: RunRecord) => Object.values(sizes).reduce((sum, size) => sum + size, 0);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= 500;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const areNumbers = (value: unknown): value is Numbers =>
  isObject(value) &&
  Object.keys(value).length <= 100 &&
  Object.values(value).every((number) => typeof number === 'number');

/** JSON has null for numbers that are not finite. */
const areMeasured = (value: unknown) =>
  isObject(value) && areNumbers(Object.fromEntries(Object.entries(value).filter(([, number]) => number !== null)));

/**
 * The record that a text holds, with nothing in it but what belongs there.
 *
 * @param source the file, for messages
 * @throws CheckpointError if it is none
 */
export function parseRecord(text: string, source: string): RunRecord {
  const fail = (what: string, cause?: unknown): never => {
    throw new CheckpointError(`${source} is no run of Glia's, or is damaged: ${what}`, { cause });
  };
  let told: Record<string, unknown>;
  try {
    told = JSON.parse(text);
  } catch (cause) {
    return fail('its record cannot be read', cause);
  }
  if (!isObject(told) || told.format !== FORMAT) return fail(`its record is not "${FORMAT}"`);
  const { id, name, state, data, parent, latest, test, snapshot, sizes } = told;
  const counts = ['created', 'changed', 'step', 'totalSteps', 'events'] as const;
  for (const key of counts) if (!isCount(told[key])) return fail(`its ${key} is no count`);
  for (const [key, value] of Object.entries({ id, name })) if (!isText(value)) return fail(`its ${key} is no text`);
  if (!STATES.includes(state as RunState)) return fail('its state is none that a run can have');
  if (!isObject(told.options)) return fail('it has no options');
  if (!isObject(data) || !KINDS.includes(data.kind as DataInfo['kind']) || !isText(data.name) || !isText(data.digest)) {
    return fail('it does not say what it was trained on');
  }
  const shape = ['train', 'test', 'height', 'width', 'channels', 'classes'] as const;
  for (const key of shape) if (!isCount(data[key])) return fail(`the ${key} of its data is no count`);
  if (data.vocabulary !== undefined && !isCount(data.vocabulary)) return fail('the vocabulary of its data is no count');
  if (!areNumbers(sizes)) return fail('its files have no sizes');
  for (const numbers of [latest, test])
    if (numbers !== undefined && !areNumbers(numbers)) return fail('its metrics are no numbers');
  if (snapshot !== undefined && !isText(snapshot)) return fail('its snapshot has no name');
  let options: TrainOptions;
  try {
    options = savedOptions(told.options);
  } catch (cause) {
    return fail((cause as Error).message, cause);
  }
  const from =
    isObject(parent) && isText(parent.name) && isCount(parent.step)
      ? { name: parent.name, step: parent.step }
      : undefined;
  return {
    ...{ format: FORMAT, options, state: state as RunState, sizes, parent: from },
    ...(Object.fromEntries([...counts.map((key) => [key, told[key]])]) as Record<(typeof counts)[number], number>),
    ...{ id: id as string, name: name as string, snapshot },
    data: {
      ...{ kind: data.kind as DataInfo['kind'], name: data.name, digest: data.digest },
      ...(data.vocabulary !== undefined && { vocabulary: data.vocabulary }),
      ...(Object.fromEntries(shape.map((key) => [key, data[key]])) as Record<(typeof shape)[number], number>),
    },
    seconds: Number.isFinite(told.seconds) ? (told.seconds as number) : 0,
    ...(typeof told.failure === 'string' && { failure: told.failure.slice(0, 1000) }),
    ...(latest !== undefined && { latest: latest as Numbers }),
    ...(test !== undefined && { test: test as Numbers }),
    keepsData: told.keepsData === true,
  };
}

/**
 * The events that lines of metrics hold.
 *
 * @throws CheckpointError if one is none
 */
export function parseEvents(text: string, source: string): TrainEvent[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line, i) => {
    try {
      const { event, train, test, ...rest } = JSON.parse(line);
      const told =
        event === 'step' ? isCount(rest.step) : event === 'epoch' && isCount(rest.epoch) && areMeasured(train);
      if (told && areMeasured(rest) && (test === undefined || areMeasured(test))) {
        return { event, ...rest, ...(train && { train }), ...(test && { test }) };
      }
    } catch {
      // Told below.
    }
    throw new CheckpointError(`${source} is damaged: line ${i + 1} of its metrics is none`);
  });
}
