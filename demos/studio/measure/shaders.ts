// Shaders that are pasted in: what is read from the form, and what is shown of their profile.
import { clockOf, differenceOf, shaderNotes, shaderRows, verdictOf } from '../../../src/cli/profile/format.ts';
import { OptionError } from '../../../src/errors.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import { type Complaint, type ShaderSource, WgslError } from '../../../src/runtime/shader_compile.ts';
import { parseBindings, parseConstants, parseWorkgroups } from '../../../src/runtime/shader_data.ts';
import { profileShaders, type ShaderProfile } from '../../../src/runtime/shader_profile.ts';
import { element, make } from './dom.ts';
import example from './transpose.wgsl?raw';
import other from './transpose_tiles.wgsl?raw';

const NAMES = ['first shader', 'second shader'] as const;

const field = (id: string) => element<HTMLInputElement | HTMLTextAreaElement>(id);

export class ShaderForm {
  constructor() {
    field('wgsl-1').value = example.trim();
    field('buffers').value = '0 read f32 512*512 random\n1 read_write f32 512*512 zeros';
    element('example').addEventListener('click', () => {
      field('wgsl-2').value = other.trim();
    });
  }

  /** @throws OptionError or WgslError that says which field is wrong */
  profile(gpu: Gpu): Promise<ShaderProfile> {
    this.clear();
    const bindings = parseBindings(field('buffers').value);
    const sources = NAMES.flatMap((name, i): ShaderSource[] => {
      const { value: code } = field(`wgsl-${i + 1}`);
      if (code.trim() === '') return [];
      const workgroups = field(`workgroups-${i + 1}`).value.trim() || field('workgroups-1').value;
      const constants = field(`constants-${i + 1}`).value.trim() || field('constants-1').value;
      return [{ name, code, workgroups: parseWorkgroups(workgroups), constants: parseConstants(constants) }];
    });
    if (sources.length === 0) throw new OptionError('there is no shader: paste one');
    const given = field('flops').value.trim();
    const flops = Number(given);
    if (given !== '' && !(flops > 0)) throw new OptionError(`operations are a positive number; got "${given}"`);
    return profileShaders(gpu, sources, bindings, given === '' ? {} : { flops });
  }

  private clear(): void {
    for (const i of [1, 2]) {
      element(`complaints-${i}`).replaceChildren();
      field(`wgsl-${i}`).classList.remove('wrong');
    }
  }

  /** Shows below its shader what the compiler said; whether it was about that. */
  complain(error: unknown): boolean {
    if (!(error instanceof WgslError)) return false;
    const number = NAMES.indexOf(error.shader as (typeof NAMES)[number]) + 1;
    const text = field(`wgsl-${number}`) as HTMLTextAreaElement;
    text.classList.add('wrong');
    const items = error.complaints.map((complaint) => {
      const { line, column, message, text: source } = complaint;
      const button = make(
        'button',
        '',
        make('b', '', `line ${line}:${column}`),
        ` ${message}`,
        make('code', '', source),
      );
      button.addEventListener('click', () => selectLine(text, complaint));
      return make('li', '', button);
    });
    element(`complaints-${number}`).replaceChildren(...items);
    selectLine(text, error.complaints[0]!);
    return true;
  }
}

function selectLine(field: HTMLTextAreaElement, { line }: Complaint): void {
  const lines = field.value.split('\n');
  const start = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
  field.focus();
  field.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  // Lines do not wrap there, so all are of one height.
  field.scrollTop = (field.scrollHeight * (line - 3)) / lines.length;
}

export function showShaders(profile: ShaderProfile): void {
  const { shaders, comparison } = profile;
  element('shader-results').hidden = false;
  element('shader-welcome').hidden = true;
  element('verdict').replaceChildren(...verdict(profile));
  const rows = shaderRows(profile).map(([name, ...values]) =>
    make('tr', '', make('th', 'words', name), ...values.map((value) => make('td', '', value))),
  );
  const head = make('tr', '', make('th', ''), ...shaders.map(({ name }) => make('th', '', name)));
  element('shader-table').replaceChildren(make('thead', '', head), make('tbody', '', ...rows));
  element('differences').replaceChildren(
    ...(comparison?.buffers ?? []).map((buffer) =>
      make('li', buffer.agrees && buffer.changed ? 'right' : 'wrong', differenceOf(buffer)),
    ),
  );
  element('shader-notes').textContent = `${shaderNotes(profile)}; ${clockOf(profile)}.`;
}

function verdict({ shaders, comparison }: ShaderProfile): HTMLElement[] {
  if (!comparison) {
    const { ms, copyShare } = shaders[0]!;
    return [
      make('strong', '', `${Number(ms.toPrecision(3))} ms a dispatch`),
      make('span', '', `, ${Math.round(100 * copyShare)} % of what a copy of as many bytes reaches.`),
    ];
  }
  const agreement = comparison.agree ? 'Their results agree.' : 'Their results differ.';
  return [make('strong', '', verdictOf(comparison)), make('strong', comparison.agree ? 'right' : 'wrong', agreement)];
}
