// Runs a plan on names instead of numbers: every dispatch must find in memory the very tensors that it reads, whatever was
// written before it; at the end, outputs and variables must hold what they should. This sees slots that are reused too
// early, updates that overtake a reader, and results in two places.
import type { Allocation } from '../../src/graph/memory.ts';
import type { Plan } from '../../src/graph/plan.ts';
import type { Variable } from '../../src/ops/source.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import { rangeOf } from './kernel_check.ts';
import { packedSize } from './views.ts';

interface Content {
  readonly start: number;
  readonly end: number;
  readonly tensor: Tensor;
}

const isSource = ({ op }: Tensor) => op.name === 'input' || op.name === 'variable';

/** What a reshape is a reshape of: it lies in the same memory. */
function materialised(node: Tensor): Tensor {
  let at = node;
  while (at.op.name === 'reshape') at = at.inputs[0]!;
  return at;
}

class Machine {
  private readonly buffers = new Map<string, Content[]>();
  private readonly places: ReadonlyMap<Tensor, Allocation>;
  readonly problems: string[] = [];

  constructor(places: ReadonlyMap<Tensor, Allocation>) {
    this.places = places;
  }

  placeOf(tensor: Tensor): Allocation | undefined {
    const known = this.places.get(tensor);
    if (known || !isSource(tensor)) return known;
    const { name, variable } = tensor.attrs as { name?: string; variable?: Variable };
    return variable ? { kind: 'variable', variable } : { kind: 'input', name: name! };
  }

  /** Whether a tensor lies where it should, or nothing was ever written there, if it is a source. */
  holds(tensor: Tensor, place: Allocation): boolean {
    const { buffer, start, end } = rangeOf(place, tensor);
    const overlapping = (this.buffers.get(buffer) ?? []).filter((other) => other.start < end && start < other.end);
    if (isSource(tensor) && overlapping.length === 0) return true;
    return overlapping.length === 1 && overlapping[0]!.tensor === tensor && overlapping[0]!.start === start;
  }

  write(tensor: Tensor, place: Allocation): void {
    const { buffer, start, end } = rangeOf(place, tensor);
    const rest = (this.buffers.get(buffer) ?? []).filter((other) => other.end <= start || end <= other.start);
    this.buffers.set(buffer, [...rest, { start, end, tensor }]);
  }

  /** Reads a tensor; of a pack that is no dispatch of its own, its parts. */
  read(tensor: Tensor, reader: string): void {
    const place = this.placeOf(tensor);
    if (!place) {
      this.problems.push(`${reader} reads ${tensor}, which lies nowhere`);
      return;
    }
    if (this.holds(tensor, place)) return;
    if (tensor.op.name === 'pack' && place.kind === 'slot') {
      let offset = place.offset;
      for (const part of tensor.inputs) {
        const at = { kind: 'slot', slot: place.slot, offset } as const;
        if (part.size > 0 && !this.holds(materialised(part), at))
          this.problems.push(`${reader} reads a pack without its part ${part}`);
        offset += packedSize(part.size);
      }
      return;
    }
    this.problems.push(`${reader} reads ${tensor}, whose memory holds something else by then`);
  }
}

/** What is wrong with the order and the places of a plan, one line each. */
export function scheduleProblems({ schedule, memory }: Plan): string[] {
  const machine = new Machine(memory.allocations);
  for (const { outputs, reads, inPlaceConcat } of schedule.groups) {
    const name = outputs.map(({ op, id }) => `${op.name} %${id}`).join(', ');
    if (inPlaceConcat || outputs[0]!.size === 0) continue;
    for (const tensor of reads.keys()) if (tensor.size > 0) machine.read(tensor, name);
    for (const output of outputs) {
      const place = memory.allocations.get(output);
      if (!place) {
        machine.problems.push(`${name} is stored nowhere`);
        continue;
      }
      // In the memory of an input, only where each thread reads no more than what it overwrites.
      const range = rangeOf(place, output);
      for (const [tensor, aligned] of reads) {
        const other = machine.placeOf(tensor);
        if (!other || tensor.size === 0) continue;
        const from = rangeOf(other, tensor);
        const overlaps = from.buffer === range.buffer && from.start < range.end && range.start < from.end;
        if (overlaps && !(aligned && from.start === range.start))
          machine.problems.push(`${name} overwrites ${tensor} while it reads it`);
      }
    }
    for (const output of outputs) {
      const place = memory.allocations.get(output);
      if (place) machine.write(output, place);
    }
  }
  for (const [tensor, variable] of schedule.targets) {
    if (tensor.size > 0 && !machine.holds(tensor, { kind: 'variable', variable }))
      machine.problems.push(`in the end, variable ${variable.name} holds no ${tensor}`);
  }
  for (const [name, tensor] of Object.entries(schedule.outputs))
    if (tensor.size > 0) machine.read(materialised(tensor), `output ${name}`);
  return machine.problems;
}
