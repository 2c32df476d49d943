// Holds what the compiler makes of a random graph before it fuses (simplified, with long sums cut) against the graph as it was traced:
// both evaluated in float64, without a device.
import { rootsOf } from '../../src/graph/graph.ts';
import { prepareGraph } from '../../src/graph/plan.ts';
import { ADAPTERS } from './adapters.ts';
import { difference, type Tally } from './compare.ts';
import { evaluateStep, type Memory, variableValue } from './evaluate.ts';
import type { Picker } from './picker.ts';
import type { Case } from './random_graph.ts';
import { describe } from './run_case.ts';
import type { Value } from './values.ts';

/** @throws Error that names what is another value */
export function checkSimplified(made: Case, p: Picker, tally: Tally): void {
  const { graph, numbers, variables } = made;
  if (rootsOf(graph).length === 0) return;
  const adapter = { ...p.pick(ADAPTERS), f16: true };
  const memories: [Memory, Memory] = [new Map(), new Map()];
  const expected = evaluateStep(graph, numbers, memories[0]);
  const actual = evaluateStep(prepareGraph(graph, adapter), numbers, memories[1]);
  const wrong: string[] = [];
  const check = (name: string, got: Value, value: Value) => {
    const [exact] = value.samples as [Float64Array];
    const [computed, ...others] = got.samples as [Float64Array, ...Float64Array[]];
    // Its constants are f32, and what is computed of them may be undecided where the graph's own values are not.
    const noise = others.map((sample) => exact.map((at, i) => at + sample[i]! - computed[i]!));
    const problem = difference(computed, { ...value, samples: [...value.samples, ...noise] }, tally);
    if (problem) wrong.push(`${name}: ${problem}`);
  };
  for (const [name, value] of Object.entries(expected)) check(`output ${name}`, actual[name]!, value);
  for (const variable of variables) {
    if (!memories[0].has(variable.place())) continue;
    check(`variable ${variable.name}`, variableValue(memories[1], variable), variableValue(memories[0], variable));
  }
  if (wrong.length > 0) throw new Error(`${wrong.join('\n')}\n${describe(made)}`);
}
