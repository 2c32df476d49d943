// Runs one random graph on a device and holds everything that it computes against the evaluator.
import type { Gpu } from '../../src/gpu/gpu.ts';
import { printGraph, rootsOf, topological } from '../../src/graph/graph.ts';
import { planGraph } from '../../src/graph/plan.ts';
import type { ChooseVariant } from '../../src/graph/variants.ts';
import type { AdapterTraits } from '../../src/ops/tensor.ts';
import { build } from '../../src/runtime/build.ts';
import { compile } from '../../src/runtime/compile.ts';
import type { Program } from '../../src/runtime/program.ts';
import { copyOut } from '../../src/runtime/readback.ts';
import { freeVariables, readVariable } from '../../src/runtime/variables.ts';
import { difference, type Tally } from './compare.ts';
import { evaluateStep, halfOf, type Memory, variableValue } from './evaluate.ts';
import type { Case } from './random_graph.ts';
import type { Value } from './values.ts';

export interface RunOptions {
  readonly storage?: 'f32' | 'f16';
  /** Chooses among all possible variants by this number, instead of the rule. */
  readonly variants?: number;
  /** Plans for this adapter, and runs on the device all the same. */
  readonly adapter?: AdapterTraits;
}

function chooser(seed: number): ChooseVariant {
  let calls = 0;
  return (_, possible) => possible[(seed * 31 + 7 * calls++) % possible.length];
}

const numbersOf = (data: ArrayLike<number>, { dtype }: { dtype: string }) =>
  dtype === 'f16' ? Array.from(data, halfOf) : data;

/** @throws Error that names what differs, with the graph, if anything does */
export async function runCase(
  gpu: Gpu,
  made: Case,
  tally: Tally,
  { storage = 'f32', variants, adapter }: RunOptions = {},
) {
  const { graph, numbers, variables, runs, stepsInARun } = made;
  const roots = rootsOf(graph);
  if (roots.length === 0) return;
  const memory: Memory = new Map();
  const wrong: string[] = [];
  const wrongNames = new Set<string>();
  const check = (name: string, actual: ArrayLike<number>, expected: Value) => {
    const problem = difference(numbersOf(actual, expected), expected, tally);
    if (!problem) return;
    wrong.push(`${name}: ${problem}`);
    wrongNames.add(name.split(' ')[1]!);
  };
  const program = adapter
    ? await build(gpu, graph, planGraph(graph, adapter))
    : await compile(gpu, graph, { storage, ...(variants !== undefined && { chooseVariant: chooser(variants) }) });
  const given = new Map<string, GPUBuffer>();
  try {
    for (let run = 0; run < runs; run++) {
      let expected: Record<string, Value> = {};
      for (let step = 0; step < stepsInARun; step++) {
        expected = evaluateStep(graph, numbers, memory, { storage, seed: 1 + step });
      }
      const buffers = run % 2 === 0 ? made.toBuffers : [];
      const outputs = runInto(gpu, program, made, buffers, given);
      for (const [name, value] of Object.entries(expected)) {
        const { size, dtype } = graph.outputs[name]!;
        const buffer = outputs[name];
        // What was bytes is u32 as an output.
        const type = dtype === 'u8' ? 'u32' : dtype;
        const actual = buffer
          ? (await copyOut(gpu, { buffer, offset: 0, size: buffer.size }, type)).subarray(0, size)
          : await program.read(name);
        check(`output ${name}${buffer ? ' in a buffer' : ''} after run ${run + 1}`, actual, value);
      }
      for (const variable of variables) {
        if (!memory.has(variable.place())) continue;
        const actual = await readVariable(gpu, variable);
        check(`variable ${variable.name} after run ${run + 1}`, actual, variableValue(memory, variable));
      }
      gpu.check();
    }
  } finally {
    program.destroy();
    for (const buffer of given.values()) buffer.destroy();
    freeVariables(gpu, variables);
  }
  if (wrong.length) {
    const kernels = program.dispatches.map(({ kernel }) => `${kernel.label} (${kernel.variant})`);
    throw new Error(`${wrong.join('\n')}\n${describe(narrowed(made, wrongNames))}\ndispatches: ${kernels.join(', ')}`);
  }
  tally.graphs++;
  tally.nodes += topological(roots).length;
}

/**
 * Runs, with outputs in buffers of the app where they may be: of two outputs of one value only one may, and none that is the
 * new value of a variable.
 *
 * @returns the buffers that were written to
 */
function runInto(
  gpu: Gpu,
  program: Program,
  { graph, inputs, stepsInARun }: Case,
  names: readonly string[],
  made: Map<string, GPUBuffer>,
): Record<string, GPUBuffer> {
  const outputs: Record<string, GPUBuffer> = {};
  for (const name of names) {
    const size = Math.max(16, 4 * graph.outputs[name]!.size);
    const buffer = made.get(name) ?? gpu.device.createBuffer({ size, usage: 0x80 | 0x04 | 0x08 });
    made.set(name, buffer);
    outputs[name] = buffer;
  }
  for (;;) {
    try {
      program.run(inputs, { steps: stepsInARun, outputs });
      return outputs;
    } catch (error) {
      const refused = /output (\w+) cannot go to a buffer of its own/.exec((error as Error).message)?.[1];
      if (!refused) throw error;
      delete outputs[refused];
    }
  }
}

/** Of a graph what the named outputs and variables are computed from. */
function narrowed(made: Case, names: ReadonlySet<string>): Case {
  const outputs = Object.fromEntries(Object.entries(made.graph.outputs).filter(([name]) => names.has(name)));
  const updates = made.graph.updates.filter(({ variable }) => names.has(variable.name));
  return { ...made, graph: { outputs, updates } };
}

/** The graph with its data, for people. */
export function describe({ graph, inputs, variables, runs, stepsInARun, toBuffers }: Case): string {
  const short = (data: ArrayLike<number>) =>
    `${Array.from(data).slice(0, 6).join(' ')}${data.length > 6 ? ' …' : ''} (${data.length})`;
  return [
    printGraph(graph),
    ...Object.entries(inputs).map(([name, data]) => `input ${name}: ${short(data)}`),
    ...variables.map(({ name, init }) => `variable ${name}: ${short(init?.() ?? [])}`),
    `${runs} runs of ${stepsInARun} steps; to buffers: ${toBuffers.join(', ') || 'none'}`,
  ].join('\n');
}
