// What steps of random graphs build with: the values that are there, new sources, and views that make a value fit a shape.
import { mul } from '../../src/ops/elementwise.ts';
import { input, packVariables, Variable } from '../../src/ops/source.ts';
import type { DType, Shape, Tensor } from '../../src/ops/tensor.ts';
import { broadcastTo, concat, padTo, reshape, slice, transpose } from '../../src/ops/view.ts';
import { halfOf } from './evaluate.ts';
import type { Picker } from './picker.ts';
import { sizeOf } from './values.ts';

export type HostArray = Float32Array | Uint32Array | Uint8Array | Uint16Array;

/** What kind of graphs a round makes. */
export interface Kind {
  readonly name: string;
  readonly steps: readonly string[];
  /** Of sources, how many in ten are variables. */
  readonly variables: number;
  /** Whether f16 sources and results are made. */
  readonly half?: boolean;
  /** Elements that a node has at most. */
  readonly most?: number;
}

/** Where scaling down begins. */
const LARGE = 256;

export class Builder {
  readonly kind: Kind;
  readonly most: number;
  readonly floats: Tensor[] = [];
  readonly integers: Tensor[] = [];
  readonly bytes: Tensor[] = [];
  readonly inputs: Record<string, HostArray> = {};
  readonly numbers: Record<string, ArrayLike<number>> = {};
  readonly variables: Variable[] = [];
  /** Variables that lie in one storage, and the one that spans them. */
  readonly packs: { whole: Variable; parts: Variable[] }[] = [];
  private readonly bounds = new Map<Tensor, number>();

  constructor(kind: Kind) {
    this.kind = kind;
    this.most = kind.most ?? 3000;
  }

  boundOf(node: Tensor): number {
    return this.bounds.get(node) ?? LARGE;
  }

  /** Takes a node in, scaled down where it may be large. */
  push(node: Tensor, bound = this.boundOf(node)): Tensor {
    if (node.dtype === 'u8') this.bytes.push(node);
    else if (node.dtype === 'u32') this.integers.push(node);
    else {
      const small = bound > LARGE ? mul(node, 2 ** -Math.ceil(Math.log2(bound))) : node;
      this.bounds.set(small, Math.min(bound, LARGE));
      this.floats.push(small);
      return small;
    }
    return node;
  }

  /** A value that is there: of the last ones more often. */
  float(p: Picker): Tensor {
    if (this.floats.length === 0) return this.source(p, 'f32');
    return this.recent(this.floats, p);
  }

  integer(p: Picker): Tensor {
    if (this.integers.length === 0) return this.source(p, 'u32');
    return this.recent(this.integers, p);
  }

  private recent(list: readonly Tensor[], p: Picker): Tensor {
    const back = p.int(3) < 2 ? p.int(Math.min(3, list.length)) : p.int(list.length);
    return list[list.length - 1 - back]!;
  }

  /** An input or a variable with random values. */
  source(p: Picker, dtype: DType, shape: Shape = p.shape(this.most)): Tensor {
    const size = sizeOf(shape);
    const data = randomData(p, dtype, size);
    const name = `s${this.variables.length + Object.keys(this.inputs).length}`;
    let node: Tensor;
    if (p.int(10) < this.kind.variables) {
      const variable = new Variable(name, shape, { dtype, init: () => data });
      this.variables.push(variable);
      // A part of a pack is laid beside others before it is first used.
      if (dtype === 'f32' && p.chance(3)) this.packBeside(variable, p);
      node = variable.tensor;
    } else {
      node = input(name, shape, dtype);
      this.inputs[name] = data;
      this.numbers[name] = dtype === 'f16' ? Array.from(data, halfOf) : data;
    }
    return this.push(node, 2);
  }

  private packBeside(variable: Variable, p: Picker): void {
    const parts = [variable];
    for (let i = p.int(3); i >= 0; i--) {
      const shape = p.shape(300);
      const data = randomData(p, 'f32', sizeOf(shape));
      const part = new Variable(`${variable.name}.${i}`, shape, { init: () => data });
      parts.push(part);
      this.variables.push(part);
    }
    const whole = packVariables(`${variable.name}.all`, parts);
    this.packs.push({ whole, parts });
    for (const part of parts.slice(1)) this.push(part.tensor, 2);
    this.push(whole.tensor, 2);
  }

  /** `x` in another shape: broadcast, or reshaped after being cut or filled up. */
  fit(x: Tensor, shape: Shape, p: Picker): Tensor {
    const size = sizeOf(shape);
    if (String(x.shape) === String(shape)) return x;
    const skip = shape.length - x.shape.length;
    if (skip >= 0 && x.shape.every((dim, axis) => dim === 1 || dim === shape[skip + axis]) && p.int(3) < 2) {
      return broadcastTo(x, shape);
    }
    const turned = x.shape.length > 1 && p.chance(3) ? transpose(x) : x;
    let flat = reshape(turned, [x.size]);
    if (x.size > size)
      flat = slice(flat, 0, p.int(x.size - size + 1)).shape[0]! >= size ? this.cut(flat, size, p) : flat;
    if (flat.size < size) {
      const start = p.int(size - flat.size + 1);
      flat =
        p.chance(3) && flat.size * 2 >= size
          ? concat([flat, this.cut(flat, size - flat.size, p)])
          : padTo(flat, [size], [start]);
    }
    return reshape(flat, shape);
  }

  private cut(flat: Tensor, size: number, p: Picker): Tensor {
    const start = p.int(flat.size - size + 1);
    return slice(flat, 0, start, start + size);
  }

  /** As `fit`, of a float. */
  fitted(p: Picker, shape: Shape): Tensor {
    const x = this.float(p);
    const result = this.fit(x, shape, p);
    this.bounds.set(result, this.boundOf(x));
    return result;
  }
}

function randomData(p: Picker, dtype: DType, size: number): HostArray {
  let state = (p.int(0xffff) * 2654435761 + 12345) >>> 0;
  const next = () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
  const style = p.int(4);
  const float = () => {
    const value = (next() - 0.5) * 4;
    // Quarters meet each other and 0, from both sides.
    return style < 2 ? Math.fround(value) : Math.trunc(value * 4) / 4;
  };
  if (dtype === 'f32') return Float32Array.from({ length: size }, float);
  if (dtype === 'u8') return Uint8Array.from({ length: size }, () => next() * 256);
  if (dtype === 'f16')
    return Uint16Array.from({ length: size }, () => Math.floor(next() * 0x4000) + (next() < 0.5 ? 0x8000 : 0));
  const range = style < 3 ? 10 : 2 ** 32;
  return Uint32Array.from({ length: size }, () => Math.floor(next() * range));
}
