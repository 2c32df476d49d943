// `npm run train`: trains a model in headless Chrome and writes what comes of it into a run folder.
import { readFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { tokenizerFromText } from '../data/tokenizer_file.ts';
import { CheckpointError, DataError, GliaError, NotFiniteError, OptionError } from '../errors.ts';
import { decodeTrained, namedOptions } from '../train/checkpoint.ts';
import { completeOptions } from '../train/options.ts';
import { isTextEntry, modelEntry } from '../train/registry/registry.ts';
import { showPath } from './arguments.ts';
import { findModel } from './model_file.ts';
import type { PageServer } from './page_server.ts';
import { type Arguments, parseArguments, resumeCommand } from './train/arguments.ts';
import { findData } from './train/data.ts';
import { newRun, RunFolder } from './train/folder.ts';
import { trainLasting } from './train/lasting.ts';
import type { StartEvent } from './train/protocol.ts';
import { JsonReport, type Report, TextReport } from './train/report.ts';
import { readSaved } from './train/resume.ts';

/** As shells count it: 128 and the number of SIGINT. */
const INTERRUPTED = 130;
/** npm passes Ctrl-C on to a process that the terminal has told already; both come within this time. */
const SAME_KEYPRESS = 300;

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const report = parsed.json ? new JsonReport() : new TextReport();
  const run = await prepare(parsed, report);
  return train(run, parsed, report, server);
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** Finds what is needed and checks what can be told by then, before there is a browser or a folder. */
async function prepare(parsed: Arguments, report: Report) {
  const { given, data, out, resume, init: weights, tokenizer } = parsed;
  const saved = resume === undefined ? undefined : readSaved(resume, out);
  // --steps is for a quick look at one run; what goes on from it goes to the end.
  const init = weights === undefined ? undefined : readWeights(weights);
  const before = saved ? namedOptions(saved.checkpoint.progress.options, saved.path) : init?.options;
  // What learns from text has a rate that goes by the steps of the whole run.
  const isText = (model: string) => isTextEntry(modelEntry(model));
  const inherited = before && { ...before, ...(saved && isText(before.model) ? {} : { steps: undefined }) };
  const isOther = before && given.model !== undefined && given.model !== before.model;
  if (saved && isOther) {
    throw new OptionError(
      `${saved.path} was made with --model ${before.model}, not with --model ${given.model}: resume with the same`,
    );
  }
  const options = completeOptions({ ...(isOther ? {} : inherited), ...given });
  const warn = (message: string) => report.warn(message);
  const folder = saved ? new RunFolder(out ?? dirname(saved.path), warn) : newRun(out, options.model, warn);
  if (saved && folder.hasCheckpoint && relative(folder.path, dirname(saved.path)) !== '') {
    throw new OptionError(`${folder.path} holds another run than the one to resume: give another --out`);
  }
  folder.check();
  return {
    options,
    saved,
    init,
    folder,
    data: data === undefined ? undefined : await findData(data, isText(options.model) ? 'text' : 'images'),
    tokenizer: tokenizer === undefined ? undefined : await readTokenizer(tokenizer),
  };
}

/** Reads the weights that a run begins with, and sees that they are such before there is a browser. */
function readWeights(place: string) {
  const path = findModel(place, '--init');
  const name = showPath(path);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new CheckpointError(`--init: ${name} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return { name, bytes, options: decodeTrained(bytes, name).options };
}

/** Reads a tokenizer.json, and sees that it is one before there is a browser. */
async function readTokenizer(path: string): Promise<{ name: string; text: string }> {
  const name = showPath(path);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new DataError(`--tokenizer-file: ${name} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  await tokenizerFromText(text, name);
  return { name, text };
}

async function train(run: Prepared, parsed: Arguments, report: Report, server: PageServer): Promise<number> {
  const { options, saved, init, folder, data, tokenizer } = run;
  const began = performance.now();
  const out = showPath(folder.path);
  const history = saved?.history ?? [];
  let started = false;
  const stop = stopOnSignals(() => started);
  stop.addEventListener('abort', () => report.stopping());
  try {
    const { headed, node, driver, patience, saveEvery, testEvery } = parsed;
    const outcome = await trainLasting({
      ...{ server, data, stop, headed, node, driver, patience, checkpoint: saved?.bytes },
      init: init?.bytes,
      tokenizer: tokenizer?.text,
      job: {
        ...{ options, history, saveEvery, testEvery },
        ...(saved && { checkpoint: saved.path }),
        ...(init && { init: init.name }),
        ...(tokenizer && { tokenizer: tokenizer.name }),
      },
      tell(event) {
        if (event.event === 'reading') {
          report.reading(event);
        } else if (event.event === 'recovered') {
          report.recovered(event);
        } else if (event.event === 'start') {
          folder.create(history);
          started = true;
          report.start({ ...event, ...describe(event, run, parsed), out });
          if (saved?.instead) report.warn(`${saved.instead}: this goes on from the checkpoint before`);
        }
      },
      keep(events, latest) {
        folder.append(events);
        report.events(events, latest);
      },
      save(name, bytes) {
        if (folder.write(name, bytes)) report.file(name);
      },
    });
    folder.finish();
    report.close();
    const seconds = (performance.now() - began) / 1000;
    const resume = resumeCommand(parsed, out);
    report.end({ ...outcome, seconds, out, files: [...folder.written].sort(), resume });
    return outcome.event === 'stopped' ? INTERRUPTED : 0;
  } catch (error) {
    report.close();
    throw started && folder.hasCheckpoint ? withCheckpoint(error, out, resumeCommand(parsed, out)) : error;
  } finally {
    folder.release();
  }
}

function describe(start: StartEvent, { options: { model, batch, warmup = 0 }, init }: Prepared, { data }: Arguments) {
  return {
    model,
    batch,
    init: init?.name,
    warmup: Number(warmup),
    data: { ...start.data, name: data ?? start.data.name, builtIn: data === undefined },
  };
}

/** Adds what is left of a run that failed, where one can go on from it. */
function withCheckpoint(error: unknown, out: string, resume: string): unknown {
  if (!(error instanceof GliaError)) return error;
  const kept = `the last good checkpoint is in ${out}`;
  // The same step would fail again.
  const cure = error instanceof NotFiniteError ? '' : `; go on with: ${resume}`;
  return Object.assign(error, { message: `${error.message}; ${kept}${cure}` });
}

/** The first signal asks the page to stop, with a checkpoint; the second, or one before there is a run, ends at once. */
function stopOnSignals(started: () => boolean): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  const stop = () => {
    if (first && performance.now() - first < SAME_KEYPRESS) return;
    if (first || !started()) process.exit(INTERRUPTED);
    first = performance.now();
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // Nobody reads on (`| head`): the same as one Ctrl-C, however many lines are lost.
  process.stdout.on('error', () => first || stop());
  return controller.signal;
}
