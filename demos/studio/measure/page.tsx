// Measuring: where the time of a training step goes, or of any WGSL, and the way to the benchmark.
import './measure.css';
import { signal } from '@preact/signals';
import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef } from 'preact/hooks';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import { completeOptions, OPTIONS } from '../../../src/train/options.ts';
import { NoGpu } from '../home/no_gpu.tsx';
import { Tabs } from '../parts/ui.tsx';
import { adapter, complain, message } from '../state.ts';
import { givenOf, OptionFields, type Values } from '../train/fields.tsx';
import { deviceOf } from '../work/device.ts';
import { element, painted } from './dom.ts';
import { ShaderForm, showShaders } from './shaders.ts';
import { StepView } from './step.ts';

// How many steps there are is not what a profile tells, nor do numbers on the GPU change it.
const LEFT_OUT = [...OPTIONS.filter(({ rule }) => rule.ofRun).map(({ name }) => name), ...['lr', 'decay', 'seed']];

const values = signal<Values>({ model: 'vae' });
const busy = signal(false);
const part = signal('step');
const device = deviceOf();

/** Measures, with every button dead meanwhile. */
async function measure(
  what: 'step' | 'shader',
  work: (gpu: Gpu) => Promise<void>,
  form?: ShaderForm | null,
): Promise<void> {
  const [status, results] = [element(`${what}-status`), element(`${what}-results`)];
  message.value = undefined;
  results.classList.add('stale');
  busy.value = true;
  status.textContent = 'Compiling and measuring; the page may stand still meanwhile …';
  await painted();
  try {
    const found = await device();
    const lost = found.lost.then((error) => {
      throw error;
    });
    await Promise.race([work(found), lost]);
    results.classList.remove('stale');
    status.textContent = 'Done.';
  } catch (error) {
    status.textContent = '';
    if (!form?.complain(error)) complain(error);
    else status.textContent = 'The shader does not compile.';
  } finally {
    busy.value = false;
  }
}

/** A training step, dispatch by dispatch. */
function StepProfile() {
  const view = useRef<StepView>(null);
  useEffect(() => {
    view.current = new StepView();
  }, []);
  return (
    <div class="measure two-columns">
      <form
        class="card controls"
        id="options"
        onSubmit={(event) => {
          event.preventDefault();
          void measure('step', async (device) => {
            const options = completeOptions(givenOf(values.value));
            const { profileStep } = await import('../../../src/cli/profile/step.ts');
            view.current!.show(await profileStep(device, options), options);
          });
        }}
      >
        <h2>Model</h2>
        <OptionFields values={values.value} onChange={(next) => (values.value = next)} leaveOut={LEFT_OUT} />
        <button
          type="submit"
          class="primary"
          id="profile-step"
          disabled={busy.value || adapter.value.state !== 'there'}
        >
          Profile
        </button>
        <p class="hint" id="step-status" role="status" aria-live="polite"></p>
      </form>
      <section class="card" id="step-welcome">
        <h2>What you will see</h2>
        <p>
          A training step is a list of dispatches: compute shaders that run one after another. Each is timed by itself,
          and beside it stands how many operations and bytes that is a second.
        </p>
        <ul>
          <li>
            <b>Bars</b> show which dispatches take the time.
          </li>
          <li>
            The <b>roofline</b> shows how much faster they could be: two small kernels measure how fast this GPU copies
            and multiplies, and nothing gets above that roof unless its data stay in caches.
          </li>
          <li>
            The <b>table</b> has every number; a trace opens in Perfetto or chrome://tracing.
          </li>
        </ul>
      </section>
      <div class="results" id="step-results" hidden>
        <section class="card">
          <dl class="totals" id="totals"></dl>
          <p class="hint" id="clock"></p>
        </section>
        <section class="card">
          <div class="head">
            <h2>
              Dispatches <small>point at one to see its numbers</small>
            </h2>
            <p class="legend">
              <span class="matmul">matmul</span> <span class="reduction">reduction</span>
              <span class="pointwise">pointwise</span>
            </p>
            <select id="order" aria-label="Order">
              <option value="step">in order of the step</option>
              <option value="time">slowest first</option>
            </select>
          </div>
          <ol class="bars" id="bars"></ol>
        </section>
        <section class="card">
          <h2>
            Roofline <small>a dot a dispatch, its area the share of the time</small>
          </h2>
          <div id="roofline"></div>
        </section>
        <section class="card">
          <div class="head">
            <h2>Table</h2>
            <button type="button" id="save-json">
              profile.json
            </button>
            <button type="button" id="save-trace">
              trace.json
            </button>
          </div>
          <div class="scroll">
            <table id="dispatches"></table>
          </div>
          <p class="hint">
            % roof is the share of the nearer ceiling. The trace opens at
            <a href="https://ui.perfetto.dev">ui.perfetto.dev</a> or chrome://tracing.
          </p>
        </section>
        <p class="detail" id="detail"></p>
      </div>
    </div>
  );
}

/** Shaders that are pasted in. */
function WgslProfile() {
  const form = useRef<ShaderForm>(null);
  useEffect(() => {
    form.current = new ShaderForm();
  }, []);
  return (
    <div class="measure halves">
      <form
        class="card controls"
        id="shaders"
        onSubmit={(event) => {
          event.preventDefault();
          void measure('shader', async (device) => showShaders(await form.current!.profile(device)), form.current);
        }}
      >
        <label class="field">
          <b>WGSL</b>
          <textarea id="wgsl-1" rows={12} spellcheck={false} wrap="off" autocomplete="off"></textarea>
        </label>
        <ul class="complaints" id="complaints-1"></ul>
        <div class="pair">
          <label class="field">
            Workgroups
            <input id="workgroups-1" defaultValue="32,32,1" spellcheck={false} />
          </label>
          <label class="field">
            Constants
            <input id="constants-1" placeholder="SIZE=512" spellcheck={false} />
          </label>
        </div>
        <label class="field">
          <b>Buffers</b>
          <textarea id="buffers" rows={4} spellcheck={false} wrap="off" autocomplete="off"></textarea>
          <small>
            One a line: binding, <code>read</code>, <code>read_write</code> or <code>uniform</code>, <code>f32</code>
            <code>u32</code> <code>i32</code> or <code>f16</code>, how many, and <code>zeros</code>, <code>ones</code>,
            <code>iota</code>, <code>random</code>, <code>random 0 99</code> or the values.
          </small>
        </label>
        <label class="field">
          Operations of one dispatch <input id="flops" inputmode="numeric" placeholder="unknown" />
          <small>If you know them: GFLOP/s are shown then.</small>
        </label>
        <div class="head">
          <b>Second WGSL</b> <small>to compare, on the same buffers</small>
          <button type="button" id="example">
            Example
          </button>
        </div>
        <label class="field">
          <textarea
            id="wgsl-2"
            rows={6}
            spellcheck={false}
            wrap="off"
            autocomplete="off"
            aria-label="Second WGSL"
          ></textarea>
        </label>
        <ul class="complaints" id="complaints-2"></ul>
        <div class="pair">
          <label class="field">
            Workgroups
            <input id="workgroups-2" placeholder="as the first" spellcheck={false} />
          </label>
          <label class="field">
            Constants
            <input id="constants-2" placeholder="as the first" spellcheck={false} />
          </label>
        </div>
        <button
          type="submit"
          class="primary"
          id="profile-shaders"
          disabled={busy.value || adapter.value.state !== 'there'}
        >
          Profile
        </button>
        <p class="hint" id="shader-status" role="status" aria-live="polite"></p>
      </form>
      <section class="card" id="shader-welcome">
        <h2>Profile any compute shader</h2>
        <p>
          Paste WGSL with one entry point and bindings of <code>@group(0)</code>, describe its buffers in a few lines,
          and press Profile. An example is there already.
        </p>
        <ul>
          <li>The time is the median of 15 rounds. Each round begins with the contents that you described.</li>
          <li>
            Where a dispatch takes less than a millisecond, several in a row are timed together: a shader that changes
            its own input then goes on from what it made.
          </li>
          <li>
            With a second shader, both are measured by turns, and what one dispatch of each writes is compared element
            by element.
          </li>
        </ul>
      </section>
      <div class="results" id="shader-results" hidden>
        <section class="card">
          <p class="verdict" id="verdict"></p>
          <ul class="differences" id="differences"></ul>
        </section>
        <section class="card">
          <div class="scroll">
            <table id="shader-table"></table>
          </div>
          <p class="hint" id="shader-notes"></p>
        </section>
      </div>
    </div>
  );
}

export function Measure() {
  return (
    <>
      <div class="head">
        <h1>Measure</h1>
        <p class="hint">
          Where the time goes on your own GPU, beside the best that it can do. The <a href="./bench/">benchmark</a>{' '}
          compares this GPU with its own ceilings, and Glia with other engines.
        </p>
      </div>
      {adapter.value.state === 'none' && <NoGpu />}
      <Tabs
        label="What to measure"
        tabs={[
          ['step', 'Training step'],
          ['wgsl', 'Your own WGSL'],
        ]}
        chosen={part.value}
        choose={(id) => {
          part.value = id;
        }}
      >
        {part.value === 'step' ? <StepProfile /> : <WgslProfile />}
      </Tabs>
    </>
  );
}
