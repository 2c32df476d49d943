// The form: a field for each option of the trainer's table.
import { completeOptions, OPTIONS, type Option, optionsOf, type TrainOptions } from '../../src/train/options.ts';

/** A page that can pause needs no number of steps to stop after. */
const LEFT_OUT: readonly string[] = ['steps'];

export class OptionsForm {
  private readonly fieldset: HTMLFieldSetElement;
  private readonly fields = new Map<string, HTMLInputElement | HTMLSelectElement>();

  constructor(fieldset: HTMLFieldSetElement, leftOut = LEFT_OUT) {
    this.fieldset = fieldset;
    for (const option of OPTIONS) {
      if (leftOut.includes(option.name)) continue;
      const field = createField(option);
      this.fields.set(option.name, field);
      const label = document.createElement('label');
      label.className = 'field';
      const hint = document.createElement('small');
      hint.textContent = option.help;
      label.append(option.name, hint, field);
      fieldset.append(label);
    }
    this.fields.get('model')?.addEventListener('input', () => this.showFitting());
    this.showFitting();
  }

  /** @throws OptionError if a value is not allowed, though the browser let it pass */
  get options(): TrainOptions {
    const fitting = [...this.fields].filter(([name]) => Object.hasOwn(this.rules, name));
    return completeOptions(Object.fromEntries(fitting.map(([name, { value }]) => [name, value || undefined])));
  }

  set options(options: TrainOptions) {
    for (const [name, field] of this.fields) field.value = String(options[name] ?? '');
    this.showFitting();
  }

  set disabled(disabled: boolean) {
    this.fieldset.disabled = disabled;
  }

  private get rules() {
    return optionsOf(this.fields.get('model')?.value ?? String(OPTIONS[0]!.rule.default));
  }

  /** What means nothing to the model cannot be set; what is left empty is the model's own default. */
  private showFitting(): void {
    const { rules } = this;
    for (const [name, field] of this.fields) {
      field.disabled = !Object.hasOwn(rules, name);
      if (field instanceof HTMLInputElement) field.placeholder = String(rules[name]?.default ?? '');
    }
  }
}

function createField({
  name,
  rule: { default: initial, choices, range },
}: Option): HTMLInputElement | HTMLSelectElement {
  if (choices) {
    const select = document.createElement('select');
    if (initial === undefined) select.append(new globalThis.Option('–', ''));
    select.append(
      ...choices.map((choice) => new globalThis.Option(choice, choice, choice === initial, choice === initial)),
    );
    select.name = name;
    return select;
  }
  const input = document.createElement('input');
  input.name = name;
  input.type = 'number';
  if (range) {
    input.min = String(range.min);
    input.max = String(range.max);
    input.step = range.integer ? '1' : 'any';
  }
  return input;
}
