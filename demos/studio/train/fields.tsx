// A field for each option that the chosen model reads: what makes the model first, how it is trained folded below.

import { optionsOf } from '../../../src/train/options.ts';
import { modelEntry } from '../../../src/train/registry/registry.ts';
import type { OptionRule, OptionValue } from '../../../src/train/rules.ts';
import { wordsOf } from './words.ts';

export type Values = Readonly<Record<string, string>>;

function Field(props: { name: string; rule: OptionRule; value: string; onChange: (value: string) => void }) {
  const { name, rule, value, onChange } = props;
  const { range, help, choices } = rule;
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
  // How long a run is, as the model counts it.
  const length = rules.steps?.default === undefined ? 'epochs' : 'steps';
  const own = new Set(['model', length, ...Object.keys(modelEntry(values.model ?? 'vae').options)]);
  const names = Object.keys(rules).filter((name) => !leaveOut.includes(name));
  const field = (name: string) => (
    <Field
      key={`${values.model} ${name}`}
      name={name}
      rule={rules[name]!}
      value={values[name] ?? ''}
      onChange={(value) => {
        // Another model reads other options: those that mean the same to both are kept.
        const next = name === 'model' ? optionsOf(value) : rules;
        const same = (key: string) => key === name || (key in next && rules[key]?.default === next[key]!.default);
        onChange(Object.fromEntries(Object.entries({ ...values, [name]: value }).filter(([key]) => same(key))));
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
