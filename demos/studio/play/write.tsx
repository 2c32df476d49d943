// Writing with a model of text: a prompt, how it is drawn, and the text as it is made.
import { signal } from '@preact/signals';
import { proxy } from 'comlink';
import { useEffect } from 'preact/hooks';
import { Slider } from '../parts/ui.tsx';
import { attempt } from '../state.ts';
import { model, player } from './model.ts';

const prompt = signal('');
const temperature = signal(0.8);
const topK = signal(0);
const topP = signal(1);
const length = signal(300);
const seed = signal(0);
const text = signal('');
/** What the text goes on from. */
const begun = signal('');
const speed = signal('');
const writing = signal(false);

async function write(): Promise<void> {
  const how = { temperature: temperature.value, topK: topK.value, topP: topP.value, seed: seed.value };
  text.value = '';
  speed.value = '';
  begun.value = prompt.value;
  writing.value = true;
  try {
    const { tokens, seconds } = await player.write(
      prompt.value,
      length.value,
      how,
      proxy((some: string) => {
        text.value += some;
      }),
    );
    speed.value = `${tokens} tokens in ${seconds.toFixed(1)} s`;
  } finally {
    writing.value = false;
  }
}

export function Write() {
  useEffect(() => {
    text.value = '';
    speed.value = '';
    return () => void player.stopWriting();
  }, [model.value]);
  return (
    <div class="write-page">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          if (!writing.value) void attempt(write);
        }}
      >
        <label class="field">
          <span>Prompt</span>
          <textarea
            name="prompt"
            rows={3}
            spellcheck={false}
            value={prompt.value}
            onInput={(event) => (prompt.value = event.currentTarget.value)}
          />
          <small>What the text begins with; a new line if it is empty.</small>
        </label>
        <Slider
          label="Temperature"
          name="temperature"
          {...{ value: temperature.value, min: 0, max: 2, step: 0.05 }}
          onInput={(value) => (temperature.value = value)}
        />
        <Slider
          label="Top k (0: all)"
          name="top-k"
          {...{ value: topK.value, min: 0, max: 50, step: 1, digits: 0 }}
          onInput={(value) => (topK.value = value)}
        />
        <Slider
          label="Top p (1: all)"
          name="top-p"
          {...{ value: topP.value, min: 0.05, max: 1, step: 0.05 }}
          onInput={(value) => (topP.value = value)}
        />
        <Slider
          label="Tokens"
          name="length"
          {...{ value: length.value, min: 20, max: 2000, step: 20, digits: 0 }}
          onInput={(value) => (length.value = value)}
        />
        <Slider
          label="Seed"
          name="seed"
          {...{ value: seed.value, min: 0, max: 99, step: 1, digits: 0 }}
          onInput={(value) => (seed.value = value)}
        />
        <div class="row">
          <button type="submit" class="primary" id="write" disabled={writing.value}>
            Write
          </button>
          <button type="button" id="stop-writing" disabled={!writing.value} onClick={() => player.stopWriting()}>
            Stop
          </button>
        </div>
      </form>
      <section class="card" aria-label="The text">
        <h2>
          What it writes <small id="writing-speed">{writing.value ? 'writing …' : speed.value}</small>
        </h2>
        <pre class="sample" id="written">
          {text.value === '' ? (
            <span class="hint">The same prompt and seed give the same text.</span>
          ) : (
            <>
              <b>{begun.value}</b>
              {text.value}
            </>
          )}
        </pre>
      </section>
    </div>
  );
}
