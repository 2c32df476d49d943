// The first page: what this is, where to go, and what it runs on.
import { adapter, addressOf, runs } from '../state.ts';
import { NoGpu } from './no_gpu.tsx';

const EXTERNAL = [
  ['./examples/', 'Examples', 'programs of one screen each, with their source'],
  ['./bench/', 'Bench', 'Glia, jax-js and TensorFlow.js on the same work, in turns'],
] as const;

export function Home() {
  const now = adapter.value;
  const left = (runs.value ?? []).filter(({ state }) => state === 'training');
  return (
    <div class="home">
      <h1>
        Teach your GPU to draw.
        <br />
        <span class="then">Then play with what it learned.</span>
      </h1>
      <p class="lead">
        Glia trains variational autoencoders and their relatives in this page, with compute shaders on your own GPU.
        Your images and models stay in your browser: nothing is uploaded, and once visited it works without a network.
      </p>
      {now.state === 'none' && <NoGpu />}
      <div class="choices">
        <a class="choice primary" href={addressOf('train')}>
          <b>Train</b>
          <span>A model that draws digits in a minute, or one of your own images or text</span>
        </a>
        <a class="choice" href={addressOf('play')}>
          <b>Play</b>
          <span>Walk its map, turn its dimensions, draw, and morph one image into another</span>
        </a>
        <a class="choice" href={addressOf('measure')}>
          <b>Measure my GPU</b>
          <span>Where the time of a training step goes, beside the best this GPU can do</span>
        </a>
      </div>
      {left.length > 0 && (
        <p>
          <a href={addressOf('train')}>
            {left.length === 1 ? `“${left[0]!.name}” is not finished` : `${left.length} runs are not finished`}: go on
          </a>
        </p>
      )}
      <p class="more">
        {EXTERNAL.map(([address, name, text]) => (
          <span key={address}>
            <a href={address}>{name}</a> {text}
          </span>
        ))}
      </p>
    </div>
  );
}
