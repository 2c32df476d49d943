// The profiler's page: a training step, or any shader.
import 'uplot/dist/uPlot.min.css';
import { profileStep } from '../../src/cli/profile/step.ts';
import { GliaError, UnsupportedError } from '../../src/errors.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { OPTIONS } from '../../src/train/options.ts';
import { OptionsForm } from '../train/form.ts';
import { element, painted } from './dom.ts';
import { ShaderForm, showShaders } from './shaders.ts';
import { StepView } from './step.ts';

// How many steps there are is not what a profile tells, nor do numbers on the GPU change it.
const form = new OptionsForm(element<HTMLFieldSetElement>('fields'), [
  ...OPTIONS.filter(({ rule }) => rule.ofRun).map(({ name }) => name),
  ...['lr', 'decay', 'seed'],
]);
const stepView = new StepView();
const shaderForm = new ShaderForm();
const buttons = ['profile-step', 'profile-shaders'].map((id) => element<HTMLButtonElement>(id));
let gpu: Gpu | undefined;

async function requestGpu(): Promise<Gpu | undefined> {
  try {
    const found = await Gpu.request();
    element('adapter').textContent = found.name;
    found.lost.then((error) => {
      if (gpu !== found) return;
      gpu = undefined;
      showError(error);
    });
    return found;
  } catch (error) {
    element('adapter').textContent = 'no WebGPU';
    if (!(error instanceof UnsupportedError)) throw error;
    element('unsupported-reason').textContent = `${error.message}.`;
    element('unsupported').hidden = false;
    return undefined;
  }
}

function showError(error: unknown): void {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const box = element('error');
  // Options are named as on the command line.
  box.textContent = error instanceof GliaError ? message.replaceAll(/(^|\()--/g, '$1') : `${name}: ${message}`;
  box.hidden = false;
  box.scrollIntoView({ block: 'nearest' });
  if (!(error instanceof GliaError)) console.error(error);
}

/** Measures, with every button dead meanwhile. */
async function attempt(part: 'step' | 'shader', work: (gpu: Gpu) => Promise<void>): Promise<void> {
  const [status, results] = [element(`${part}-status`), element(`${part}-results`)];
  element('error').hidden = true;
  results.classList.add('stale');
  for (const button of buttons) button.disabled = true;
  status.textContent = 'Compiling and measuring; the page may stand still meanwhile …';
  await painted();
  try {
    gpu ??= await requestGpu();
    if (!gpu) return;
    const lost = gpu.lost.then((error) => {
      throw error;
    });
    await Promise.race([work(gpu), lost]);
    results.classList.remove('stale');
    status.textContent = 'Done.';
  } catch (error) {
    status.textContent = '';
    if (!shaderForm.complain(error)) showError(error);
    else status.textContent = 'The shader does not compile.';
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

element('options').addEventListener('submit', (event) => {
  event.preventDefault();
  void attempt('step', async (device) => {
    const { options } = form;
    stepView.show(await profileStep(device, options), options);
  });
});

element('shaders').addEventListener('submit', (event) => {
  event.preventDefault();
  void attempt('shader', async (device) => showShaders(await shaderForm.profile(device)));
});

/** The part of the page that the address names. */
function showPart(): void {
  const shown = location.hash === '#wgsl' ? 'wgsl' : 'step';
  for (const part of ['step', 'wgsl']) {
    element(`part-${part}`).hidden = part !== shown;
    element(`tab-${part}`).toggleAttribute('aria-current', part === shown);
  }
}

addEventListener('hashchange', showPart);
showPart();
for (const button of buttons) button.disabled = true;
gpu = await requestGpu();
for (const button of buttons) button.disabled = !gpu;
