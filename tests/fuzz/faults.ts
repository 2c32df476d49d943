// Faults to plant in the compiler, one at a time, to see that the search finds each: GLIA_FUZZ_FAULT=NAME makes Vite change the
// module that it loads, and no file. `node tests/fuzz/plant.mjs` plants them all and prints a table.
import type { Plugin } from 'vite';

export interface Fault {
  /** What goes wrong. */
  readonly what: string;
  /** Below src/. */
  readonly file: string;
  /** A text that stands there once, and what is put in its place. */
  readonly from: string;
  readonly to: string;
  /**
   * What it is held against: results by float64 on lavapipe, the plan by itself, the graph before simplification, central
   * differences, or each element stored once.
   */
  readonly search: 'results' | 'plans' | 'simplified' | 'gradients' | 'stores';
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  stride: {
    what: 'an operand that is broadcast along its first axis keeps its stride there',
    file: 'ops/define.ts',
    from: 'return dim === 1 ? coord.times(0) : coord;',
    to: 'return dim === 1 && axis > 0 ? coord.times(0) : coord;',
    search: 'results',
  },
  edge: {
    what: 'an update does not wait for what still reads a part of the old value',
    file: 'graph/order.ts',
    from: 'if (!isApart) waits',
    to: 'if (!isApart && read === target) waits',
    search: 'plans',
  },
  slot: {
    what: 'a slot is free one dispatch before its last reader',
    file: 'graph/memory.ts',
    from: 'expiring[lastUse.get(node)!]!.push',
    to: 'expiring[Math.max(index, lastUse.get(node)! - 1)]!.push',
    search: 'plans',
  },
  'in place': {
    what: 'a result overwrites an input that other threads still read',
    file: 'graph/memory.ts',
    from: 'return group.reads.get(tensor) === true && ',
    to: 'return ',
    search: 'plans',
  },
  elsewhere: {
    what: "a node is fused to a kernel although it reads what the kernel's other threads compute",
    file: 'graph/legality.ts',
    from: "if (!aligned) refusal ??= { kind: 'elsewhere', tensor: node };",
    to: '',
    search: 'results',
  },
  stop: {
    what: "the gradient of a composite's operand goes on into another operand",
    file: 'graph/autodiff.ts',
    from: 'new Set(node.inputs), true)',
    to: 'new Set(node.inputs))',
    search: 'gradients',
  },
  split: {
    what: 'of a matmul that is cut, the parts of one operand are dealt out by turns',
    file: 'graph/split.ts',
    from: 'transpose(reshape(x, [x.shape[0]!, parts, length / parts]), [1, 0, 2])',
    to: 'transpose(reshape(x, [x.shape[0]!, length / parts, parts]), [2, 0, 1])',
    search: 'results',
  },
  guard: {
    what: "a tile's store has no guard where it reaches just one column past the end of a row",
    file: 'graph/lower.ts',
    from: 'at && at.max >= columns ?',
    to: 'at && at.max > columns ?',
    search: 'stores',
  },
  axes: {
    what: 'a transpose is read by its axes, and not by their inverse',
    file: 'ops/view.ts',
    from: '      inputs[0]!,\n      inverse(attrs.axes).map((axis) => coords[axis]!),',
    to: '      inputs[0]!,\n      attrs.axes.map((axis) => coords[axis]!),',
    search: 'results',
  },
  wrap: {
    what: 'products of whole constants are folded without wrapping around',
    file: 'ops/elementwise.ts',
    from: 'u32: (a, b) => Math.imul(a, b) >>> 0,',
    to: 'u32: (a, b) => Math.min(a * b, 4294967295),',
    search: 'simplified',
  },
  equal: {
    what: 'nodes are merged whose inputs changed places, be their op commutative or not',
    file: 'graph/equal.ts',
    from: 'if (op.traits?.commutative) ids.sort',
    to: 'ids.sort',
    search: 'simplified',
  },
  mask: {
    what: 'of padding, only the first condition that masks an element counts',
    file: 'graph/emit.ts',
    from: "const condition = Expr.join(conditions, ' || ');",
    to: 'const condition = conditions[0]!;',
    search: 'results',
  },
};

/** Changes the module of a fault as it is loaded. */
export function planted(name: string): Plugin {
  const fault = FAULTS[name];
  if (!fault) throw new Error(`no fault is called ${name}; there are ${Object.keys(FAULTS).join(', ')}`);
  return {
    name: `planted fault: ${name}`,
    enforce: 'pre',
    transform(code, id) {
      if (!id.split('?')[0]!.endsWith(`/src/${fault.file}`)) return undefined;
      if (code.split(fault.from).length !== 2) throw new Error(`fault ${name} fits ${fault.file} no longer`);
      return code.replace(fault.from, () => fault.to);
    },
  };
}
