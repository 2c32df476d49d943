// A field for each option that the chosen model reads: what makes the model first, how it is trained folded below.

import { optionsOf } from '../../../src/train/options.ts';
import { isTextEntry, MODELS, modelEntry } from '../../../src/train/registry/registry.ts';
import type { OptionRule, OptionValue } from '../../../src/train/rules.ts';
import { wordsOf } from './words.ts';

/** The studio trains on images. */
const IMAGE_MODELS = [...MODELS.values()].filter((entry) => !isTextEntry(entry)).map(({ name }) => name);

export type Values = Readonly<Record<string, string>>;

function Field(props: { name: string; rule: OptionRule; value: string; onChange: (value: string) => void }) {
  const { name, rule, value, onChange } = props;
  const { range, help } = rule;
  const choices = name === 'model' ? IMAGE_MODELS : rule.choices;
  const initial = String(rule.default ?? '');
  return (
    <label class="field" for={`option-${name}`}>
      <span>{wordsOf(name)}</span>
      {choices ? (
        <select
          id={`option-${name}`}
          name={name}
          value={value || initial}
          onChange={(event) => onChange(event.currentTarget.value)}
        >
          {rule.default === undefined && <option value="">as they are</option>}
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          id={`option-${name}`}
          name={name}
          type="number"
          inputMode={range?.integer ? 'numeric' : 'decimal'}
          min={range?.min}
          max={range?.max}
          step={range?.integer ? 1 : 'any'}
          placeholder={initial}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      )}
      <small>{help}</small>
    </label>
  );
}

export function OptionFields(props: {
  values: Values;
  onChange: (values: Values) => void;
  disabled?: boolean;
  leaveOut?: readonly string[];
}) {
  const { values, onChange, disabled = false, leaveOut = [] } = props;
  const rules = optionsOf(values.model ?? 'vae');
  const own = new Set(['model', 'epochs', ...Object.keys(modelEntry(values.model ?? 'vae').options)]);
  const names = Object.keys(rules).filter((name) => !leaveOut.includes(name));
  const field = (name: string) => (
    <Field
      key={`${values.model} ${name}`}
      name={name}
      rule={rules[name]!}
      value={values[name] ?? ''}
      onChange={(value) => {
        // Another model reads other options: those that both read are kept.
        const next = name === 'model' ? optionsOf(value) : rules;
        onChange(Object.fromEntries(Object.entries({ ...values, [name]: value }).filter(([key]) => key in next)));
      }}
    />
  );
  const more = names.filter((name) => !own.has(name));
  return (
    <fieldset disabled={disabled} class="fields">
      <legend class="hidden">Options</legend>
      {names.filter((name) => own.has(name)).map(field)}
      {more.length > 0 && (
        <details>
          <summary>Advanced</summary>
          <div class="fields">{more.map(field)}</div>
        </details>
      )}
    </fieldset>
  );
}

/** Values of a form from options. */
export function valuesOf(options: Readonly<Record<string, OptionValue | unknown>>): Values {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}

/** What was typed, for `completeOptions`: what is empty is the model's default. */
export function givenOf(values: Values): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value === '' ? undefined : value]));
}
