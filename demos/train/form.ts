// The form: a field for each option of the trainer's table.
import { MODEL_OPTIONS, modelEntry } from '../../src/train/models.ts';
import { completeOptions, OPTIONS, type TrainOptions } from '../../src/train/options.ts';

/** A page that can pause needs no number of steps to stop after. */
const LEFT_OUT: readonly (keyof TrainOptions)[] = ['steps'];

export class OptionsForm {
  private readonly fieldset: HTMLFieldSetElement;
  private readonly fields = new Map<string, HTMLInputElement | HTMLSelectElement>();

  constructor(fieldset: HTMLFieldSetElement, leftOut = LEFT_OUT) {
    this.fieldset = fieldset;
    for (const name of Object.keys(OPTIONS) as (keyof TrainOptions)[]) {
      if (leftOut.includes(name)) continue;
      const { help } = OPTIONS[name];
      const field = createField(name);
      this.fields.set(name, field);
      const label = document.createElement('label');
      label.className = 'field';
      const hint = document.createElement('small');
      hint.textContent = help;
      label.append(name, hint, field);
      fieldset.append(label);
    }
    this.fields.get('model')?.addEventListener('input', () => this.showFitting());
  }

  /** @throws OptionError if a value is not allowed, though the browser let it pass */
  get options(): TrainOptions {
    return completeOptions(Object.fromEntries([...this.fields].map(([name, { value }]) => [name, value || undefined])));
  }

  set options(options: TrainOptions) {
    for (const [name, field] of this.fields) field.value = String(options[name as keyof TrainOptions] ?? '');
    this.showFitting();
  }

  set disabled(disabled: boolean) {
    this.fieldset.disabled = disabled;
  }

  private showFitting(): void {
    const { options } = modelEntry(this.fields.get('model')?.value ?? String(OPTIONS.model.default));
    for (const [name, field] of this.fields) {
      const option = name as keyof TrainOptions;
      field.disabled = MODEL_OPTIONS.has(option) && !options.includes(option);
    }
  }
}

function createField(name: keyof TrainOptions): HTMLInputElement | HTMLSelectElement {
  const { default: initial, choices, range } = OPTIONS[name];
  if (choices) {
    const select = document.createElement('select');
    if (initial === undefined) select.append(new Option('–', ''));
    select.append(...choices.map((choice) => new Option(choice, choice, choice === initial, choice === initial)));
    select.name = name;
    return select;
  }
  const input = document.createElement('input');
  input.name = name;
  input.type = 'number';
  input.required = initial !== undefined;
  if (range) {
    input.min = String(range.min);
    input.max = String(range.max);
    input.step = range.integer ? '1' : 'any';
  }
  input.value = String(initial ?? '');
  return input;
}
