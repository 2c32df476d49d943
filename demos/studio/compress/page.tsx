// Compression: images are dropped, shrink beside what the browser's own coders make of them, and come back from the archive.
import { signal } from '@preact/signals';
import { proxy, wrap } from 'comlink';
import { DataError } from '../../../src/errors.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { download } from '../../../src/view/download.ts';
import { Picture } from '../parts/pictures.tsx';
import { Check, FileButton, ModelSelect, sizeText } from '../parts/ui.tsx';
import { addressOf, attempt, complain, runs } from '../state.ts';
import type { Brought } from '../work/brought.ts';
import type { Coded, CompressorApi, Packed, Size, Unpacked } from '../work/compressor.worker.ts';
import './compress.css';

const worker = new Worker(new URL('../work/compressor.worker.ts', import.meta.url), {
  type: 'module',
  name: 'compressor',
});
const compressor = wrap<CompressorApi>(worker);
worker.addEventListener('error', (event) => {
  event.preventDefault();
  doing.value = undefined;
  complain(new DataError('the worker that compresses stopped: reload the page, or take fewer images'));
});

interface Model {
  readonly name: string;
  readonly run: string | undefined;
  readonly binarize: string;
}

const model = signal<Model | undefined>(undefined);
const withModel = signal(true);
const doing = signal<{ readonly what: string; readonly done: number; readonly total: number } | undefined>(undefined);
const packed = signal<Packed | undefined>(undefined);
const others = signal<readonly Coded[]>([]);
const unpacked = signal<Unpacked | undefined>(undefined);

/** Models that make every pixel's value likely or not: of binary images, or of bytes. */
const BYTES = ['logistic', 'logistic-mixture', 'categorical', 'beta-binomial'];
const LINEAR = ['vae', 'burda', 'burda-2', 'ladder', 'iwae', 'beta-vae'];
const canCompress = ({ model, binarize, likelihood }: TrainOptions) =>
  LINEAR.includes(model) && (BYTES.includes(String(likelihood)) || (binarize !== 'none' && likelihood === 'bernoulli'));

const progress = (what: string) => {
  doing.value = { what, done: 0, total: 1 };
  return proxy((done: number, total: number) => {
    doing.value = { what, done, total };
  });
};

async function done<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } finally {
    doing.value = undefined;
  }
}

async function choose(id: string): Promise<void> {
  const { name, binarize } = await compressor.loadRun(id);
  model.value = { name, run: id, binarize };
  packed.value = undefined;
}

async function compress(files: readonly Brought[] | undefined): Promise<void> {
  if (!model.value) throw new DataError('choose a model first, and then the images');
  packed.value = undefined;
  unpacked.value = undefined;
  others.value = [];
  const told = proxy((coded: Coded) => {
    others.value = [...others.value, coded];
  });
  packed.value = await done(compressor.compress(files, withModel.value, progress('Compressing'), told));
}

async function unpack({ path, file }: Brought): Promise<void> {
  unpacked.value = undefined;
  const bytes = new Uint8Array(await file.arrayBuffer());
  unpacked.value = await done(compressor.decompress(path, bytes, progress('Decompressing')));
}

/** An archive, a model, or images: what was dropped or chosen. */
export async function takeFiles(all: readonly Brought[]): Promise<void> {
  const archive = all.find(({ path }) => path.endsWith('.glia'));
  if (archive) return unpack(archive);
  const saved = all.find(({ path }) => path.endsWith('.safetensors'));
  if (saved) {
    const made = await compressor.loadFile(saved.path, new Uint8Array(await saved.file.arrayBuffer()));
    model.value = { name: made.name, run: undefined, binarize: made.binarize };
    packed.value = undefined;
  }
  const images = all.filter((file) => file !== saved);
  if (images.length > 0) await compress(images);
}

function Bars({ made, coded }: { made: Packed; coded: readonly Coded[] }) {
  const { archive, modelBytes, count, size } = made;
  const numbers = count * size.height * size.width * size.channels;
  const rows = [...coded, { name: 'Glia, without the model', bytes: archive.length - modelBytes }];
  const most = Math.max(...rows.map(({ bytes }) => bytes));
  return (
    <table class="shrunk" id="shrunk">
      <thead>
        <tr>
          <th scope="col">{count.toLocaleString('en')} images</th>
          <th scope="col" class="number">
            bytes
          </th>
          <th scope="col" class="number">
            bits a number
          </th>
          <th scope="col">
            <span class="hidden">how much that is</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, bytes }) => (
          <tr key={name} class={name.startsWith('Glia') ? 'own' : ''}>
            <th scope="row">{name}</th>
            <td class="number">{bytes.toLocaleString('en')}</td>
            <td class="number">{((8 * bytes) / numbers).toFixed(3)}</td>
            <td class="bar">
              <span style={{ width: `${(100 * bytes) / most}%` }} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Strip({ data, size, label }: { data: Float32Array; size: Size; label: string }) {
  const count = data.length / (size.height * size.width * size.channels);
  return (
    <div class="strip">
      {Array.from({ length: count }, (_, i) => (
        <Picture key={i} data={data} shape={size} index={i} label={`${label} ${i + 1}`} />
      ))}
    </div>
  );
}

function Chooser() {
  const ready = (runs.value ?? []).filter(({ snapshot, options }) => snapshot && canCompress(options));
  return (
    <div class="row chooser">
      <ModelSelect name="compressor" now={model.value} ready={ready} choose={(id) => void attempt(() => choose(id))} />
      <FileButton label="Open a model" id="compressor-file" accept=".safetensors" take={takeFiles} />
      <FileButton label="Open an archive" id="archive-file" accept=".glia" take={takeFiles} />
    </div>
  );
}

function Result({ made }: { made: Packed }) {
  const { archive, modelBytes, seconds, count } = made;
  const speed = Math.round(count / Math.max(seconds, 1e-3));
  return (
    <section class="card">
      <h2>
        Smaller{' '}
        <small>
          {seconds.toFixed(1)} s, {speed.toLocaleString('en')} images a second
        </small>
      </h2>
      <Strip data={made.shown} size={made.size} label="Image" />
      <Bars made={made} coded={others.value} />
      <div class="row">
        <button type="button" class="primary" id="save-archive" onClick={() => download('images.glia', archive)}>
          Save the archive
        </button>
        <span class="hint">
          {sizeText(archive.length)}
          {modelBytes > 0 ? `, of which the model is ${sizeText(modelBytes)}` : ', to be opened with the same model'}.
          Drop it here again to get the images back.
        </span>
      </div>
    </section>
  );
}

function Back({ made }: { made: Unpacked }) {
  const { count, recovered, damaged, same, seconds, file, shown, size } = made;
  const verdict = same === undefined ? '' : same ? ', byte for byte those above' : ', and they are not those above';
  return (
    <section class="card">
      <h2>
        And back <small>{seconds.toFixed(1)} s</small>
      </h2>
      <p id="came-back">
        {recovered.toLocaleString('en')} of {count.toLocaleString('en')} images{verdict}.
      </p>
      {damaged.map((line) => (
        <p key={line} class="notice error">
          {line}
        </p>
      ))}
      <Strip data={shown} size={size} label="Image that came back" />
      <div class="row">
        <button type="button" onClick={() => download(file.name, file.bytes)}>
          Save the images
        </button>
        <span class="hint">as {file.name}, like MNIST's files</span>
      </div>
    </section>
  );
}

export function Compress() {
  const now = doing.value;
  return (
    <div class="compress">
      <div class="head">
        <h1>Compress</h1>
        <p class="hint" role="status" id="compress-status">
          {now && `${now.what} … ${Math.floor((100 * now.done) / now.total)} %`}
        </p>
      </div>
      <Chooser />
      {now && <progress class="wide" aria-label={now.what} value={now.done} max={now.total} />}
      {model.value ? (
        <section class="card">
          <h2>Images</h2>
          <p>
            Drop images of the kind that {model.value.name} has learned
            {model.value.binarize === 'none' ? '' : '; they are made black and white first, as in its training'}.
          </p>
          <div class="row">
            <FileButton label="Choose images" id="to-compress" several take={takeFiles} disabled={now !== undefined} />
            <button
              type="button"
              id="own-tests"
              disabled={now !== undefined}
              onClick={() => attempt(() => compress(undefined))}
            >
              Take its test images
            </button>
            <Check name="with-model" checked={withModel.value} set={(checked) => (withModel.value = checked)}>
              Put the model into the archive
            </Check>
          </div>
        </section>
      ) : (
        <section class="card welcome">
          <h2>A model that knows what images look like can store them in less room</h2>
          <p>
            Without loss: what comes back has the same bytes, on any GPU. Choose a run above, or open an archive. A
            model fits if it was <a href={addressOf('train')}>trained</a> with <i>binarize</i> (black and white images)
            or with a likelihood of bytes such as <i>logistic-mixture</i>, and is a <code>vae</code>,{' '}
            <code>beta-vae</code>, <code>iwae</code>, <code>burda</code>, <code>burda-2</code> or <code>ladder</code>.
          </p>
        </section>
      )}
      {packed.value && <Result made={packed.value} />}
      {unpacked.value && <Back made={unpacked.value} />}
    </div>
  );
}
