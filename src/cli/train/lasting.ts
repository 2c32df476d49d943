// A run that outlives its browser: when its tab or its browser dies or hangs, another goes on from the newest checkpoint, and
// what was told before is not told again.
import { DeviceLostError } from '../../errors.ts';
import { decodeCheckpoint } from '../../train/checkpoint.ts';
import type { StepEvent, TrainEvent } from '../../train/events.ts';
import { CHECKPOINT } from './folder.ts';
import { trainInNode } from './in_node.ts';
import type { StartEvent, Tell } from './protocol.ts';
import { eventsUntil } from './resume.ts';
import { type PageRun, trainInPage } from './serve.ts';

/** Browsers in a row without a step in between, after which it is no accident. */
const MOST_RESTARTS = 3;

export interface LastingRun extends Omit<PageRun, 'tell' | 'save'> {
  readonly tell: (event: Parameters<Tell>[0][number]) => void;
  /** Events that belong into the metrics, and the last step made. */
  readonly keep: (events: readonly TrainEvent[], latest?: StepEvent) => void;
  readonly save: (name: string, bytes: Uint8Array) => void;
  /** In this process, without a browser; on a Vulkan driver by name, or the one that suggests itself. */
  readonly node: boolean;
  readonly driver: string | undefined;
}

export async function trainLasting(run: LastingRun): ReturnType<typeof trainInPage> {
  const history = [...run.job.history];
  let { job, checkpoint } = run;
  /** What the metrics have. */
  const told = { step: 0, epoch: 0 };
  let reached = 0;
  let adapter: string | undefined;
  let lost: DeviceLostError | undefined;
  let failures = 0;
  let failedAt = -1;

  const tell: PageRun['tell'] = (events, latest) => {
    const kept: TrainEvent[] = [];
    for (const event of events) {
      if (event.event === 'start') begin(event);
      else if (event.event !== 'step' && event.event !== 'epoch') run.tell(event);
      else if (event.event === 'step' ? event.step > told.step : event.epoch > told.epoch) {
        if (event.event === 'step') told.step = event.step;
        else told.epoch = event.epoch;
        kept.push(event);
      }
    }
    history.push(...kept);
    reached = Math.max(reached, told.step, latest?.step ?? 0);
    run.keep(kept, latest && latest.step >= told.step ? latest : undefined);
  };
  const begin = (event: StartEvent) => {
    if (!adapter) {
      run.tell(event);
      told.step = event.step;
    } else if (lost) {
      const recovered = { event: 'recovered', reason: lost.message, step: event.step } as const;
      run.tell(event.adapter === adapter ? recovered : { ...recovered, adapter: event.adapter });
    }
    adapter = event.adapter;
  };
  const save: PageRun['save'] = (name, bytes) => {
    if (name === CHECKPOINT) checkpoint = bytes;
    run.save(name, bytes);
  };

  for (;;) {
    try {
      const next = { ...run, job, checkpoint, tell, save };
      return await (run.node ? trainInNode(next) : trainInPage(next));
    } catch (error) {
      // Somebody who watches may have closed the window.
      if (!(error instanceof DeviceLostError) || run.headed || run.node || run.stop.aborted) throw error;
      failures = reached > failedAt ? 1 : failures + 1;
      failedAt = reached;
      if (failures > MOST_RESTARTS) throw error;
      lost = error;
      if (!checkpoint) continue;
      const from = decodeCheckpoint(checkpoint, CHECKPOINT);
      job = { ...job, checkpoint: CHECKPOINT, history: eventsUntil(from, history) };
    }
  }
}
