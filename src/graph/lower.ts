// Turns a group of fused nodes into a kernel: a shader with its constants, its hooks, and the memory that it binds.
import pointwiseShader from '../../shaders/pointwise.wgsl?raw';
import { Affine } from '../ops/affine.ts';
import { elementwise } from '../ops/elementwise.ts';
import { Expr, wgsl } from '../ops/expression.ts';
import {
  type AdapterTraits,
  bytesOf,
  type CoordsOf,
  flopsOf,
  type Kernel,
  type KernelWriter,
  resultOp,
  Tensor,
  type Variant,
  wordsFor,
} from '../ops/tensor.ts';
import { packOp } from '../ops/view.ts';
import { type Binding, BodyEmitter, KernelText, type Place, storedType } from './emit.ts';
import { topological } from './graph.ts';
import { type Allocation, isShelf, type MemoryPlan, runsOf, wordsOf } from './memory.ts';
import { baseOf, type Group, isSource } from './schedule.ts';

export interface Lowered extends Kernel {
  /** Which of the variants of its kernel op; `pointwise` where there is none. */
  readonly variant: string;
  readonly variantOf: Variant | undefined;
  /** What it computes, for people: `matmul+add+relu`. */
  readonly label: string;
  readonly group: Group;
  readonly declarations: string;
  readonly functions: readonly string[];
  readonly bindings: readonly Binding[];
  /** Bytes read and written once each: the least that it must move. */
  readonly bytes: number;
}

const ZERO = wgsl`0.0`;

class Writer implements KernelWriter {
  readonly traits: AdapterTraits;
  storesBare = false;
  private readonly text: KernelText;
  private readonly group: Group;
  private readonly allocations: ReadonlyMap<Tensor, Allocation>;

  constructor(text: KernelText, group: Group, allocations: ReadonlyMap<Tensor, Allocation>, traits: AdapterTraits) {
    this.text = text;
    this.group = group;
    this.allocations = allocations;
    this.traits = traits;
  }

  private readonly isMaterialised = (tensor: Tensor) =>
    isSource(tensor) || (this.allocations.has(tensor) && !this.group.outputs.includes(tensor));

  get nodes(): readonly Tensor[] {
    return this.group.kernelOps;
  }

  load(tensor: Tensor, at: CoordsOf, lanes: 1 | 4): string {
    const body = new BodyEmitter(this.text, this.isMaterialised);
    body.statement(wgsl`return ${this.four(body, tensor, at, lanes)};`);
    return body.body;
  }

  loadEach(tensors: readonly Tensor[], at: CoordsOf, lanes: 1 | 4): string {
    const body = new BodyEmitter(this.text, this.isMaterialised);
    const fours = tensors.map((tensor) => this.four(body, tensor, at, lanes));
    body.statement(wgsl`return array<vec4f, ${tensors.length}>(${Expr.join(fours, ', ')});`);
    return body.body;
  }

  private four(body: BodyEmitter, tensor: Tensor, at: CoordsOf, lanes: 1 | 4): Expr {
    const values = Array.from({ length: lanes }, (_, lane) => {
      const coords = at(lane, (flat, shape) => body.unflatten(flat, shape));
      const outside = coords.flatMap((coord, axis) =>
        coord.max < tensor.shape[axis]! ? [] : [wgsl`${coord} < ${tensor.shape[axis]!}u`],
      );
      if (coords.some((coord, axis) => coord.min >= tensor.shape[axis]!)) return ZERO;
      const value = body.value(tensor, coords);
      return outside.length ? wgsl`select(0.0, ${value}, ${Expr.join(outside, ' && ')})` : value;
    });
    const vector = values[0]!.component?.vector;
    const isWhole = values.every(({ component }, lane) => component?.vector === vector && component?.lane === lane);
    if (vector && lanes === 4 && isWhole) return vector;
    return wgsl`vec4f(${Expr.join([...values, ZERO, ZERO, ZERO].slice(0, 4), ', ')})`;
  }

  store(at: (lane: number) => Affine, values: readonly (readonly string[])[], column?: Affine, columns = 0): string {
    const flats = values[0]!.map((_, lane) => at(lane));
    const computed = this.group.plain ? [] : this.group.kernelOps;
    const given = new Map(
      computed.map((kernelOp, i) => [
        kernelOp,
        new Map(flats.map((flat, lane) => [flat.toString(), new Expr(values[i]![lane]!)])),
      ]),
    );
    const body = new BodyEmitter(this.text, this.isMaterialised, given);
    const stores: Expr[] = [];
    for (const output of this.group.outputs) {
      // Storing rounds to f16 by itself, and keeps what is below its normal range.
      const stored = output.op === elementwise.toF16 ? output.inputs[0]! : output;
      const results = flats.map((flat) => body.value(stored, body.unflatten(flat, output.shape)));
      const { rest } = flats[0]!.split(4);
      const guards = flats.map((_, lane) => {
        const at = column?.plus(lane);
        return at && at.max >= columns ? wgsl`${at} < ${columns}u` : undefined;
      });
      const wide =
        flats.length === 4 &&
        rest.terms.size === 0 &&
        rest.constant === 0 &&
        output.size % 4 === 0 &&
        !guards.some(Boolean);
      const { name, vector, offset } = this.text.binding(output, wide, true);
      const element = storedType(output.dtype);
      const half = element === 'f16';
      if (vector) {
        const four = Expr.join(results, ', ');
        const { multiple } = flats[0]!.plus(offset).split(4);
        stores.push(wgsl`${name}[${multiple}] = vec4<${element}>(${half ? wgsl`vec4f(${four})` : four});`);
      } else {
        flats.forEach((flat, lane) => {
          // A constant that its guard leaves out: WGSL refuses it even so.
          if (flat.min >= output.size) return;
          const result = results[lane]!;
          const assignment = wgsl`${name}[${flat.plus(offset)}] = ${half ? wgsl`f16(${result})` : result};`;
          const guard = guards[lane];
          stores.push(guard ? wgsl`if (${guard}) { ${assignment} }` : assignment);
        });
      }
    }
    // All loads come first: an output may lie where an input lay.
    for (const store of stores) body.statement(store);
    this.storesBare = body.needed().length === 1;
    return body.body;
  }

  /** Bytes are written in words, and so only as they lie elsewhere. */
  copyWords(): string {
    const [from] = this.group.reads.keys();
    const source = this.text.binding(from!, false).name;
    return `\n  ${this.text.binding(this.group.outputs[0]!, false, true).name}[i] = ${source}[i];`;
  }

  grid(workgroups: number): [number, number, number] {
    return gridOf(workgroups, this.traits);
  }
}

export function gridOf(workgroups: number, { limits }: AdapterTraits): [number, number, number] {
  const most = limits.maxComputeWorkgroupsPerDimension;
  if (workgroups <= most) return [workgroups, 1, 1];
  const rows = Math.ceil(workgroups / most);
  return [Math.ceil(workgroups / rows), rows, 1];
}

/** The kernel of pointwise nodes alone. */
export function pointwise(group: Group, writer: KernelWriter & { copyWords(): string }): Kernel {
  const { size, dtype } = group.outputs[0]!;
  const long = [...computedBy(group)].some(({ op }) => op.traits?.long);
  const bytes = dtype === 'u8';
  const { plain } = group;
  const lanes = size % 4 === 0 && !long && !bytes && !plain ? 4 : 1;
  const threads = plain?.count ?? (bytes ? wordsFor(size, dtype) : size / lanes);
  const at = (lane: number) =>
    Affine.variable('i', threads)
      .times(plain?.stride ?? lanes)
      .plus(lane);
  return {
    source: pointwiseShader,
    constants: { THREADS: threads },
    hooks: { body: bytes ? writer.copyWords() : writer.store(at, [new Array<string>(lanes).fill('')]) },
    workgroups: writer.grid(Math.ceil(threads / 64)),
    flops: 0,
  };
}

/** The nodes that a group computes, in an order in which they may run. */
function computedBy(group: Group): Set<Tensor> {
  return new Set(topological(group.outputs, (node) => group.reads.has(node) || isSource(node)));
}

/** Its ops in the order in which they run, without those that only move indices. */
function labelOf(group: Group): string {
  const { members, arrangement } = group;
  if (members) return members.map(labelOf).join(arrangement === 'in turn' ? '; ' : ' | ');
  const names = [...computedBy(group)].filter(({ op }) => !op.traits?.view && op !== resultOp).map(({ op }) => op.name);
  return names.length > 6 ? `${names.slice(0, 5).join('+')}+…+${names.at(-1)}` : names.join('+') || 'copy';
}

/** `workgroup tile 64×64, one thread a result`, each once. */
function variantName({ members, arrangement, variant }: Group): string {
  if (!members) return variant?.name ?? 'pointwise';
  const names = new Set(members.map(variantName));
  return `${members.length} ${arrangement}: ${[...names].join('; ')}`;
}

/** Operations of the fused pointwise nodes, for the profiler. */
function pointwiseFlops(group: Group): number {
  if (group.members) return group.members.reduce((sum, member) => sum + pointwiseFlops(member), 0);
  return [...computedBy(group)]
    .filter(({ op }) => !op.variants)
    .reduce((flops, node) => flops + flopsOf(node) * node.size, 0);
}

/** Distinguishes ranges of memory: two tensors of one key are one binding. */
export function keyOfAllocation(allocation: Allocation, tensor: Tensor): string {
  if (allocation.kind === 'input') return `input ${allocation.name}`;
  if (allocation.kind === 'slot') return `slot ${allocation.slot}+${allocation.offset}+${wordsOf(tensor)}`;
  const { variable } = allocation;
  return `block ${variable.place().id}+${variable.offset}+${variable.words}`;
}

/** Where the kernel of a group finds tensors: each where it lies, and parts of a pack together. */
function placesOf(group: Group, memory: MemoryPlan): (tensor: Tensor) => Place {
  const { allocations } = memory;
  const spans = spansOf(group, memory);
  return (tensor) => {
    const span = spans.get(tensor);
    if (span) return span;
    const allocation = allocations.get(tensor)!;
    return { key: keyOfAllocation(allocation, tensor), tensor, allocation, offset: 0 };
  };
}

/**
 * Parts of one pack that lie side by side are bound once, where all are written four at a time, or none. One kernel by itself
 * writes one part.
 */
function spansOf({ members, outputs, reads }: Group, { allocations, packs }: MemoryPlan): Map<Tensor, Place> {
  const spans = new Map<Tensor, Place>();
  const touched = [...outputs, ...reads.keys()].filter((tensor) => {
    const pack = packs.get(tensor);
    return pack && (members || isShelf(pack));
  });
  for (const run of runsOf(touched, packs)) {
    const slots = run.map((part) => allocations.get(part) as Allocation & { kind: 'slot' });
    const [first, last] = [slots[0]!, slots.at(-1)!];
    const words = last.offset + wordsOf(run.at(-1)!) - first.offset;
    const tensor = new Tensor(packOp, run, {}, [words], run[0]!.dtype, '');
    const allocation = { ...first };
    const key = `slot ${first.slot}+${first.offset}+${words}`;
    run.forEach((part, i) => {
      spans.set(part, { key, tensor, allocation, offset: slots[i]!.offset - first.offset });
    });
  }
  return spans;
}

/** The kernel of a group, or of all its members. */
function kernelOf(group: Group, text: KernelText, { allocations }: MemoryPlan, traits: AdapterTraits): Kernel {
  const { members, link, kernelOps, variant } = group;
  if (members) {
    const memory = { allocations } as MemoryPlan;
    return link!(
      members.map((member) => kernelOf(member, text, memory, traits)),
      traits,
    );
  }
  if (kernelOps[0] && !variant && !group.plain) throw new Error(`no variant was chosen for ${kernelOps[0]}`);
  const writer = new Writer(text, group, allocations, traits);
  return variant ? variant.kernel(kernelOps[0]!, writer) : pointwise(group, writer);
}

/** Lowers one group of a schedule with variants, given where everything lies. */
export function lower(group: Group, memory: MemoryPlan, traits: AdapterTraits): Lowered {
  const placeOf = placesOf(group, memory);
  const scalars = new Set<string>();
  const { variant } = group;
  const write = () => {
    const text = new KernelText(placeOf, scalars);
    return { text, kernel: kernelOf(group, text, memory, traits) };
  };
  // The first round finds out which buffers cannot be read four at a time; the second writes the text.
  const bindingOf = ({ tensor: view, writable }: { tensor: Tensor; writable: boolean }): Binding => {
    const { key, tensor, allocation } = placeOf(baseOf(view));
    return { key, tensor, allocation, element: storedType(tensor.dtype), writable, vector: false };
  };
  let before = -1;
  let result = write();
  while (scalars.size !== before) {
    before = scalars.size;
    result = write();
  }
  const { text, kernel } = result;
  const touched = new Set([...group.outputs, ...group.reads.keys()]);
  const bytes = [...touched].reduce((sum, node) => sum + bytesOf(node.dtype) * node.size, 0);
  return {
    ...kernel,
    variant: variantName(group),
    variantOf: variant,
    label: labelOf(group),
    group,
    flops: kernel.flops + pointwiseFlops(group),
    // Directives come first, and these stand in front of the shader itself.
    declarations: traits.f16 ? `enable f16;\n${text.declarations}` : text.declarations,
    functions: text.functions.all,
    bindings: kernel.bindings?.map(bindingOf) ?? text.bindings,
    bytes,
  };
}
