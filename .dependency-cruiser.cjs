// The layer rules: imports point downwards only, type-only imports included.

/** From top to bottom. The members of one row stand side by side; `besides` says which of them may not meet. */
const layers = [
  ['demos', 'src/cli', 'tests'],
  ['src/bench', 'src/view'],
  ['src/index.ts'],
  ['src/coder'],
  ['src/train', 'src/models', 'src/data'],
  ['src/nn', 'src/testing'],
  ['src/runtime'],
  ['src/graph'],
  ['src/ops'],
  ['src/gpu'],
  ['shaders'],
];

const besides = [
  ['src/models', ['src/train', 'src/data'], 'a model knows neither its data nor who trains it'],
  ['src/data', ['src/train', 'src/models'], 'data know neither models nor who trains them'],
  ['src', ['demos', 'tests'], 'demos and tests import the engine, not the other way round'],
  ['demos', ['tests'], 'tests are imported by nobody'],
];

const inside = (folders) => `^(${folders.map((folder) => folder.replace('.', '\\.')).join('|')})(/|$)`;

module.exports = {
  forbidden: [
    ...layers.slice(1).map((row, index) => ({
      name: `${row.join(', ')} must not look up`,
      comment: 'Imports point downwards: what is needed up there has to come in as an argument.',
      severity: 'error',
      from: { path: inside(row) },
      to: { path: inside(layers.slice(0, index + 1).flat()) },
    })),
    ...besides.map(([from, to, comment]) => ({
      name: `${from} must not import ${to.join(' or ')}`,
      comment,
      severity: 'error',
      from: { path: inside([from]) },
      to: { path: inside(to) },
    })),
    {
      name: 'index.ts is for users',
      comment: 'The public API gathers the parts. The parts import one another directly.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/bench/' },
      to: {
        path: ['', 'models/', 'train/', 'coder/', 'runtime/', 'testing/'].map((folder) => `^src/${folder}index\\.ts$`),
      },
    },
    {
      name: 'src/index.ts must not import commands',
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { path: inside(['src/cli', 'src/bench']) },
    },
    {
      name: 'src/errors.ts imports nothing',
      severity: 'error',
      from: { path: '^src/errors\\.ts$' },
      to: {},
    },
    {
      name: 'the core has no dependencies',
      comment:
        'What is published runs wherever WebGPU is: no npm package but what is loaded on demand, nothing of Node.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(cli/|bench/|view/|data/(digits|tokenizer_file)\\.ts$)' },
      to: { dependencyTypes: ['core', 'npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'every import leads somewhere',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
