// What a training run tells while it runs: one object an event, as it stands in metrics.jsonl.

/** Means over images; losses in nats per image. */
export interface Means {
  readonly loss: number;
  readonly [term: string]: number;
}

export interface StepEvent {
  readonly event: 'step';
  /** Steps made, from 1. */
  readonly step: number;
  /** The epoch in progress, from 1. */
  readonly epoch: number;
  readonly loss: number;
  readonly msPerStep: number;
  readonly [term: string]: number | string;
}

export interface EpochEvent {
  readonly event: 'epoch';
  readonly epoch: number;
  readonly train: Means;
  /** Where the data set has one, and it was tested after this epoch. */
  readonly test?: Means;
}

export type TrainEvent = StepEvent | EpochEvent;

/** A term for people: its name, and its value with as many digits as are worth reading. */
export function describeTerm(name: string, value: number): { label: string; text: string } {
  if (name === 'accuracy' || name === 'used') return { label: name, text: `${(100 * value).toFixed(2)} %` };
  return { label: name === 'kl' ? 'KL' : name, text: value.toFixed(Math.abs(value) < 1 ? 4 : 2) };
}
