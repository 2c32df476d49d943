// Playing with a trained model: what there is to do follows from what the model says it can do.
import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { NoGpu } from '../home/no_gpu.tsx';
import { FileButton, ModelSelect, Tabs } from '../parts/ui.tsx';
import { adapter, addressOf, runs, visit } from '../state.ts';
import { Draw } from './draw.tsx';
import { Grid } from './grid.tsx';
import { MapOfCodes } from './map.tsx';
import { type Loaded, label, loading, model, step, takeFiles } from './model.ts';
import { Morph } from './morph.tsx';
import { Samples } from './samples.tsx';
import { Sentence, SentenceSamples, Walk } from './sentences.tsx';
import { Sliders } from './sliders.tsx';
import { Texts } from './texts.tsx';
import { Write } from './write.tsx';

interface Part {
  readonly id: string;
  readonly name: string;
  readonly view: ComponentType;
  readonly fits: (model: Loaded) => boolean;
}

const hasSpace = ({ codeSize }: Loaded) => codeSize > 0;
const readsSentences = ({ sentences }: Loaded) => sentences !== undefined && sentences.latent > 0;
const PARTS: readonly Part[] = [
  { id: 'write', name: 'Write', view: Write, fits: ({ writes }) => writes },
  { id: 'sentence', name: 'Sentence', view: Sentence, fits: readsSentences },
  { id: 'walk', name: 'Walk', view: Walk, fits: readsSentences },
  { id: 'sentences', name: 'Samples', view: SentenceSamples, fits: ({ sentences }) => sentences !== undefined },
  { id: 'texts', name: 'Samples', view: Texts, fits: ({ showsText, sentences }) => showsText && !sentences },
  { id: 'map', name: 'Map', view: MapOfCodes, fits: hasSpace },
  { id: 'grid', name: 'Codes', view: Grid, fits: ({ grid }) => grid !== undefined },
  { id: 'draw', name: 'Draw', view: Draw, fits: ({ reconstructs, classes }) => reconstructs || classes > 0 },
  { id: 'sliders', name: 'Sliders', view: Sliders, fits: hasSpace },
  { id: 'morph', name: 'Morph', view: Morph, fits: hasSpace },
  { id: 'samples', name: 'Samples', view: Samples, fits: hasSpace },
];

const part = signal('map');

function Chooser() {
  const now = model.value;
  const ready = (runs.value ?? []).filter(({ snapshot }) => snapshot !== undefined);
  return (
    <div class="row chooser">
      <ModelSelect name="run" now={now} ready={ready} choose={(id) => visit('play', id)} />
      <FileButton label="Open a model" id="model-file" accept=".safetensors" take={takeFiles} />
      {now && now.images.count > 0 && <FileButton label="Show it my images" id="own-images" several take={takeFiles} />}
      {now && now.toldClasses > 0 && (
        <label class="field">
          <span>Class</span>
          <select
            name="class"
            value={label.value}
            onChange={(event) => (label.value = Number(event.currentTarget.value))}
          >
            {Array.from({ length: now.toldClasses }, (_, i) => (
              <option key={i}>{i}</option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

function Welcome() {
  const none = (runs.value ?? []).length === 0;
  return (
    <section class="card welcome">
      <h2>Play with what a model has learned</h2>
      <p>
        {none ? (
          <>
            There is no model in this browser yet. <a href={addressOf('train')}>Train one in a minute</a>, or open a{' '}
          </>
        ) : (
          'Choose a run above, also one that is being trained now, or open a '
        )}
        <code>model.safetensors</code> or <code>checkpoint.safetensors</code> of Glia's: drop it anywhere on the page.
      </p>
    </section>
  );
}

export function Play() {
  const now = model.value;
  const parts = now ? PARTS.filter(({ fits }) => fits(now)) : [];
  const chosen = parts.find(({ id }) => id === part.value) ?? parts[0];
  const View = chosen?.view;
  return (
    <>
      <div class="head">
        <h1>Play</h1>
        <p class="hint" role="status" id="play-status">
          {loading.value ||
            (now
              ? `${now.options.model}${step.value === undefined ? '' : `, step ${step.value.toLocaleString('en')}`}, ${now.images.count > 0 ? 'shown with' : 'of'} ${now.images.name}`
              : '')}
        </p>
      </div>
      {adapter.value.state === 'none' && <NoGpu />}
      <Chooser />
      {!now && !loading.value && <Welcome />}
      {now && chosen && View && (
        <Tabs
          label="What to do with it"
          tabs={parts.map(({ id, name }) => [id, name])}
          chosen={chosen.id}
          choose={(id) => {
            part.value = id;
          }}
        >
          <View key={`${now.run} ${now.name}`} />
        </Tabs>
      )}
      {now && !chosen && <p class="card">This model has nothing to play with: it tells losses and no images.</p>}
    </>
  );
}
