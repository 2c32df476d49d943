// Small parts that several pages are made of.
import type { ComponentChildren } from 'preact';
import { useId, useRef } from 'preact/hooks';
import { attempt } from '../state.ts';
import { type Brought, pickedFiles } from '../work/brought.ts';

export function sizeText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

export function timeText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** A button by which files are chosen, or a whole folder. */
export function FileButton(props: {
  label: string;
  id: string;
  take: (files: Brought[]) => Promise<void>;
  several?: boolean;
  folder?: boolean;
  accept?: string;
  disabled?: boolean;
}) {
  const { label, id, take, several = false, folder = false, accept, disabled = false } = props;
  return (
    <label class="button">
      {label}
      <input
        type="file"
        {...{ id, accept, disabled }}
        multiple={several}
        {...(folder && { webkitdirectory: true })}
        onChange={(event) => {
          const { currentTarget: input } = event;
          const all = pickedFiles(input.files!);
          input.value = '';
          void attempt(() => take(all));
        }}
      />
    </label>
  );
}

/** What a card begins with: its name as a sentence begins, and what is to be said of it. */
export function CardTitle({ name, caption }: { name: string; caption: string }) {
  return (
    <h2>
      {name[0]?.toUpperCase()}
      {name.slice(1)} <small>{caption}</small>
    </h2>
  );
}

/** Something that is so or not. */
export function Check(props: {
  name?: string;
  checked: boolean;
  set: (checked: boolean) => void;
  children: ComponentChildren;
}) {
  const { name, checked, set, children } = props;
  return (
    <label class="check">
      <input type="checkbox" {...{ name, checked }} onChange={(event) => set(event.currentTarget.checked)} />
      <span>{children}</span>
    </label>
  );
}

/** A choice of one of some runs; a model that is none of these, but a file, is named first. */
export function ModelSelect(props: {
  name: string;
  now: { readonly name: string; readonly run: string | undefined } | undefined;
  ready: readonly { readonly id: string; readonly name: string }[];
  choose: (id: string) => void;
}) {
  const { name, now, ready, choose } = props;
  return (
    <label class="field">
      <span>Model</span>
      <select
        name={name}
        value={now ? (now.run ?? 'file') : ''}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        {!now && <option value="">Choose a run …</option>}
        {now && now.run === undefined && <option value="file">{now.name}</option>}
        {ready.map((run) => (
          <option key={run.id} value={run.id}>
            {run.name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A list of tabs as screen readers know them: arrows walk, and one of them is in the order of the Tab key. */
export function Tabs(props: {
  tabs: readonly (readonly [id: string, label: string])[];
  chosen: string;
  choose: (id: string) => void;
  label: string;
  children: ComponentChildren;
}) {
  const { tabs, chosen, choose, label } = props;
  const list = useRef<HTMLDivElement>(null);
  const base = useId();
  const onKeyDown = (event: KeyboardEvent) => {
    const at = tabs.findIndex(([id]) => id === chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    choose(tabs[next]![0]);
    (list.current?.children[next] as HTMLElement | undefined)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={onKeyDown}>
        {tabs.map(([id, text]) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`${base}-${id}`}
            data-tab={id}
            aria-selected={id === chosen}
            aria-controls={`${base}-panel`}
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => choose(id)}
          >
            {text}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${base}-panel`} aria-labelledby={`${base}-${chosen}`} class="panel">
        {props.children}
      </div>
    </>
  );
}

export function Slider(props: {
  label: ComponentChildren;
  value: number;
  min: number;
  max: number;
  step?: number;
  digits?: number;
  name?: string;
  onInput: (value: number) => void;
}) {
  const { label, value, min, max, step = 0.01, digits = 2, name, onInput } = props;
  return (
    <label class="slider">
      <span>{label}</span>
      <input
        type="range"
        {...{ name, min, max, step, value }}
        onInput={(event) => onInput(Number(event.currentTarget.value))}
      />
      <output>{value.toFixed(digits)}</output>
    </label>
  );
}
