// The page of the examples: a link for each, its source, and what it shows when it runs.
import { createStage, type Stage } from './stage.ts';

type Example = { run(stage: Stage): Promise<unknown> };

const programs = import.meta.glob<Example>(['./*.ts', '!./main.ts', '!./stage.ts']);
const sources = import.meta.glob<string>(['./*.ts', '!./main.ts', '!./stage.ts'], { query: '?raw', import: 'default' });
const nameOf = (path: string) => path.slice('./'.length, -'.ts'.length);

const part = (id: string) => document.getElementById(id)!;
const chosen = new URLSearchParams(location.search).get('name') ?? 'perceptron';

for (const name of Object.keys(programs).map(nameOf)) {
  const link = document.createElement('a');
  link.href = `?name=${name}`;
  link.textContent = name.replaceAll('_', ' ');
  if (name === chosen) link.setAttribute('aria-current', 'page');
  part('examples').append(link);
}

async function show(): Promise<unknown> {
  const stage = createStage(part('stage'));
  const [load, source] = [programs[`./${chosen}.ts`], sources[`./${chosen}.ts`]];
  if (!load || !source) return stage.say(`There is no example ${chosen}.`);
  part('source').textContent = await source();
  stage.say('Running …');
  const { run } = await load();
  return run(stage).catch((error: Error) => {
    stage.say(error.message);
    throw error;
  });
}

/** What the example returned, for the tests. */
Object.assign(globalThis, { shown: show() });
