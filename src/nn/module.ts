// Module and Parameter: models are objects whose parameters are found by walking them, under PyTorch's names.
import { CheckpointError, OptionError } from '../errors.ts';
import { packVariables, Variable } from '../ops/source.ts';
import { type Shape, show } from '../ops/tensor.ts';
import { Generator } from './generator.ts';
import type { Initialiser } from './init.ts';

/** A variable that is learned. */
export class Parameter extends Variable {
  /** What its first value is drawn from; `Parameters` chooses. */
  seed = 0;
  stream: number;
  /** Its first value, where that is not drawn. */
  given: Float32Array | undefined;

  constructor(shape: Shape, initialise: Initialiser) {
    super('parameter', shape, {
      init: () => this.given ?? initialise(shape, new Generator(this.seed, this.stream)),
    });
    this.stream = this.id;
  }
}

/** A variable that belongs to a model without being learned by gradients: a running mean, say. */
export class ModuleBuffer extends Variable {
  /** Whether files of the model hold it; not where it follows from how the model was made. */
  readonly persistent: boolean;
  /** Its first value, where that is another than it is made with. */
  given: Float32Array | undefined;

  constructor(shape: Shape, initialise: (shape: Shape) => Float32Array, { persistent = true } = {}) {
    super('buffer', shape, { init: () => this.given ?? initialise(shape) });
    this.persistent = persistent;
  }
}

/**
 * A part of a model. Parameters, buffers and modules that are its properties, or elements of arrays that are, belong to
 * it, and are named by the path to them: `encoder.0.weight`.
 */
export abstract class Module {
  /** Parameters by name, in the order of the properties. */
  namedParameters(prefix = ''): Map<string, Parameter> {
    return collect(this, Parameter, prefix);
  }

  /** Buffers by name, in the order of the properties. */
  namedBuffers(prefix = ''): Map<string, ModuleBuffer> {
    return collect(this, ModuleBuffer, prefix);
  }

  /** What may be or hold a part of it, by name. */
  members(): Iterable<[name: string, value: unknown]> {
    return Object.entries(this);
  }
}

/** Variables of a kind below a module; one that is there twice has its first name alone, as in PyTorch. */
function collect<T extends Variable>(
  module: Module,
  kind: abstract new (...args: never[]) => T,
  prefix: string,
): Map<string, T> {
  const found = new Map<string, T>();
  const seen = new Set<unknown>();
  const visit = (name: string, value: unknown) => {
    if (seen.has(value)) return;
    if (value instanceof kind) {
      seen.add(value);
      found.set(name, value);
    } else if (value instanceof Module) {
      seen.add(value);
      for (const [member, inner] of value.members()) visit(`${name}.${member}`, inner);
    } else if (Array.isArray(value)) for (const [i, item] of value.entries()) visit(`${name}.${i}`, item);
  };
  for (const [name, value] of module.members()) visit(`${prefix}${name}`, value);
  return found;
}

/** All parameters of a model in one block of memory: an optimizer's step is one dispatch, a checkpoint one copy. */
export class Parameters {
  readonly named: ReadonlyMap<string, Parameter>;
  /** Spans them all, each at a 256-byte boundary. */
  readonly flat: Variable;

  /**
   * @param seed of the first values; each parameter draws from a stream of its own
   * @throws OptionError if the module has none
   */
  constructor(module: Module, seed = 0) {
    this.named = module.namedParameters();
    if (this.named.size === 0) throw new OptionError(`${module.constructor.name} has no parameters`);
    let stream = 0;
    for (const [name, parameter] of this.named) {
      parameter.name = name;
      parameter.seed = seed;
      parameter.stream = stream++;
    }
    this.flat = packVariables('parameters', [...this.named.values()]);
  }

  /** Number of weights. */
  get count(): number {
    return [...this.named.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Cuts a copy of the block, or of one laid out like it, into the parameters' own values. */
  split(flat: Float32Array): Map<string, { shape: Shape; data: Float32Array }> {
    return new Map(
      [...this.named].map(([name, { shape, offset, size }]) => [
        name,
        { shape, data: flat.slice(offset, offset + size) },
      ]),
    );
  }

  /**
   * Lays values by name out as the block.
   *
   * @param source what they came from, for messages
   * @throws CheckpointError if one is missing or of another shape
   */
  join(
    values: (name: string) => { shape: Shape; data: Float32Array } | undefined,
    source: string,
    prefix = '',
  ): Float32Array {
    // All shapes first: a model that is made for a file's options may be of any size.
    const found = [...this.named].map(([name, { shape, offset }]) => {
      const value = values(name);
      if (!value) throw new CheckpointError(`${source} has no tensor ${prefix}${name}: it was made by another model`);
      if (String(value.shape) !== String(shape)) {
        throw new CheckpointError(
          `${source}: ${prefix}${name} is ${show(value.shape)}, and this model's is ${show(shape)}`,
        );
      }
      return { data: value.data, offset };
    });
    const flat = new Float32Array(this.flat.size);
    for (const { data, offset } of found) flat.set(data, offset);
    return flat;
  }
}
