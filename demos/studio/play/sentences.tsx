// Playing with a model of sentences: what it makes of one, the way from one to another, and sentences of random codes.
import { effect, type Signal, signal, untracked, useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { UNSEEN_WORDS } from '../../../src/train/sentences.ts';
import { lineOf, optionsAsOnPage } from '../parts/errors.ts';
import { Slider } from '../parts/ui.tsx';
import { complain } from '../state.ts';
import type { Drawing } from '../work/text_uses.ts';
import { newestOnly } from './latest.ts';
import { model, player, step } from './model.ts';

const from = signal('');
const to = signal('');
/** Of the codes, and of the words of a code. */
const temperature = signal(1);
const words = signal(0);
const seed = signal(0);

// Each model begins with sentences of its own.
effect(() => {
  const facts = model.value?.sentences;
  untracked(() => {
    from.value = facts?.examples[0] ?? '';
    to.value = facts?.examples[1] ?? '';
    words.value = facts?.latent === 0 ? 1 : 0;
  });
});

const SEEDS = 100;

const how = (): Drawing => ({
  ...{ seed: seed.value, temperature: temperature.value, words: { temperature: words.value } },
});

/** The answer to what was asked last, of some sentences; what is wrong with one is told beside its field. */
function useAnswer<T>(ask: () => Promise<T>, sentences: readonly string[]) {
  const answer = useSignal<T | undefined>(undefined);
  const problem = useSignal('');
  const lacks = sentences.some((sentence) => sentence.trim() === '');
  const work = useRef(
    newestOnly(async (ask: (() => Promise<T>) | undefined) => {
      try {
        answer.value = await ask?.();
        problem.value = '';
      } catch (error) {
        answer.value = undefined;
        if (error instanceof Error && error.name === 'DataError') problem.value = lineOf(error);
        else complain(error);
      }
    }),
  );
  const on = [...sentences, temperature.value, words.value, seed.value, step.value];
  useEffect(() => work.current(lacks ? undefined : ask), on);
  const state = lacks ? 'lacks' : answer.value || problem.value ? 'told' : 'waits';
  return { answer: lacks ? undefined : answer.value, problem: lacks ? '' : problem.value, state } as const;
}

function Field(props: {
  label: string;
  name: string;
  value: string;
  set: (value: string) => void;
  problem?: string | undefined;
}) {
  const { label, name, value, set, problem } = props;
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="text"
        {...{ name, value }}
        spellcheck={false}
        autocomplete="off"
        aria-invalid={problem !== undefined}
        aria-describedby="sentence-problem"
        onInput={(event) => set(event.currentTarget.value)}
      />
    </label>
  );
}

/** What is wrong with a sentence; read out when it changes. */
function Problem({ line }: { line: string }) {
  return (
    <p class="problem" id="sentence-problem" role="status">
      {line}
    </p>
  );
}

/** Fills fields with test sentences, where there are any. */
function ShowMe({ label, fields }: { label: string; fields: readonly { value: string }[] }) {
  const { examples } = model.value!.sentences!;
  if (examples.length === 0) return null;
  const choose = () => {
    for (const field of fields) field.value = examples[Math.floor(Math.random() * examples.length)]!;
  };
  return (
    <button type="button" id="show-sentence" onClick={choose} title="From the text that the model is tested with">
      {label}
    </button>
  );
}

function Temperature({ name, of, value }: { name: string; of: string; value: Signal<number> }) {
  return (
    <Slider
      label={
        <>
          Temperature <small>{of}</small>
        </>
      }
      {...{ name, value: value.value, min: 0, max: 2, step: 0.05 }}
      onInput={(to) => (value.value = to)}
    />
  );
}

const CodeTemperature = () => <Temperature name="temperature" of="of the code" value={temperature} />;
const WordTemperature = () => <Temperature name="word-temperature" of="of the words; 0: likeliest" value={words} />;

function Seed() {
  return (
    <Slider
      label="Seed"
      name="seed"
      {...{ value: seed.value, min: 0, max: SEEDS - 1, step: 1, digits: 0 }}
      onInput={(value) => (seed.value = value)}
    />
  );
}

/** The controls beside what was written. */
function Sheet(props: {
  controls: ComponentChildren;
  title: string;
  caption?: ComponentChildren;
  /** Whether a sentence is wanted first, or the model is writing. */
  state: 'lacks' | 'waits' | 'told';
  children: ComponentChildren;
}) {
  const { controls, title, caption, state, children } = props;
  return (
    <div class="write-page">
      <form class="card" onSubmit={(event) => event.preventDefault()}>
        {controls}
        {model.value!.sentences!.unseen && <p class="hint">Note that {optionsAsOnPage(UNSEEN_WORDS)}.</p>}
      </form>
      <section class="card" aria-label={title}>
        <h2>
          {title} <small>{caption}</small>
        </h2>
        {state === 'lacks' && <p class="hint">Write a sentence like those that the model has learned from.</p>}
        {state === 'waits' && <p class="loading">Writing …</p>}
        {children}
      </section>
    </div>
  );
}

function Lines({ id, lines, label }: { id: string; lines: readonly string[]; label: string }) {
  return (
    <ol class="sentences" id={id} aria-label={label}>
      {lines.map((line, i) => (
        <li key={i}>{line}</li>
      ))}
    </ol>
  );
}

export function Sentence() {
  const { answer, problem, state } = useAnswer(() => player.lookAtSentence(from.value, how()), [from.value]);
  return (
    <Sheet
      title="What the model makes of it"
      caption={answer && `${answer.tokens} tokens`}
      state={state}
      controls={
        <>
          <Field
            label="A sentence"
            name="sentence"
            value={from.value}
            set={(value) => (from.value = value)}
            problem={problem || undefined}
          />
          <Problem line={problem} />
          <div class="row">
            <ShowMe label="Show me one" fields={[from]} />
          </div>
          <CodeTemperature />
          <WordTemperature />
          <Seed />
        </>
      }
    >
      {answer && (
        <>
          <dl class="pairs" id="sentence-facts">
            <div>
              <dt>KL of its code</dt>
              <dd>{answer.kl.toFixed(2)} nats</dd>
            </div>
            <div>
              <dt>Bound, −ELBO</dt>
              <dd>{answer.bound.toFixed(2)} nats</dd>
            </div>
          </dl>
          <h3>From its code</h3>
          <Lines id="from-code" lines={[answer.written]} label="From its code" />
          <h3>
            From codes near it <small>drawn from q(z | x), at the temperature</small>
          </h3>
          <Lines id="near-code" lines={answer.drawn} label="From codes near it" />
        </>
      )}
    </Sheet>
  );
}

export function Walk() {
  const { answer, problem, state } = useAnswer(() => player.walk(from.value, to.value, how()), [from.value, to.value]);
  const wrong = (name: string) => (problem.startsWith(`${name}: `) ? problem : undefined);
  return (
    <Sheet
      title="From one to the other"
      caption="what the model writes from ten codes on the straight line between theirs"
      state={state}
      controls={
        <>
          <Field
            label="From"
            name="from"
            value={from.value}
            set={(value) => (from.value = value)}
            problem={wrong('From')}
          />
          <Field label="To" name="to" value={to.value} set={(value) => (to.value = value)} problem={wrong('To')} />
          <Problem line={problem} />
          <div class="row">
            <button
              type="button"
              onClick={() => {
                [from.value, to.value] = [to.value, from.value];
              }}
            >
              Swap
            </button>
            <ShowMe label="Show me two" fields={[from, to]} />
          </div>
          <WordTemperature />
          {words.value > 0 && <Seed />}
        </>
      }
    >
      {answer && <Lines id="walk-lines" lines={answer} label="From one to the other" />}
    </Sheet>
  );
}

export function SentenceSamples() {
  const { latent } = model.value!.sentences!;
  const { answer, state } = useAnswer(() => player.drawSentences(how()), []);
  return (
    <Sheet
      title="Samples"
      caption={`sentences ${latent > 0 ? 'written from random codes' : 'drawn word by word, without a code'}`}
      state={state}
      controls={
        <>
          {latent > 0 && <CodeTemperature />}
          <WordTemperature />
          <Seed />
          <div class="row">
            <button type="button" id="other-samples" onClick={() => (seed.value = (seed.value + 1) % SEEDS)}>
              Other samples
            </button>
          </div>
        </>
      }
    >
      {answer && <Lines id="sentence-samples" lines={answer} label="Samples" />}
    </Sheet>
  );
}
