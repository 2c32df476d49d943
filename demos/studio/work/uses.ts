// A trained model in use: each thing that one can do with it is a program, compiled when it is first asked for.
import type { ImageSet } from '../../../src/data/images.ts';
import { OptionError } from '../../../src/errors.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import type { Model } from '../../../src/models/model.ts';
import type { Parameters } from '../../../src/nn/module.ts';
import { inEvaluation } from '../../../src/nn/training.ts';
import { normal, randomKey } from '../../../src/ops/random.ts';
import { mean } from '../../../src/ops/reduce.ts';
import { constant, input } from '../../../src/ops/source.ts';
import type { Tensor } from '../../../src/ops/tensor.ts';
import { broadcastTo } from '../../../src/ops/view.ts';
import { compile } from '../../../src/runtime/compile.ts';
import type { Program } from '../../../src/runtime/program.ts';
import { freeVariables } from '../../../src/runtime/variables.ts';
import type { Abilities, CodeSpace } from '../../../src/train/abilities.ts';

/** Images a run of a program: what is more goes in turns, what is less is filled up. One alone has a program of its own. */
const BATCH = 64;
/** Samples that the bound of one image is the mean of. */
const SAMPLES = 16;

type Arrays = Readonly<Record<string, Float32Array | Uint32Array>>;

/** What the model makes of one image, as far as it is able to. */
export interface Look {
  readonly reconstruction?: Float32Array;
  readonly mean?: Float32Array;
  readonly logvar?: Float32Array;
  /** −ELBO, nats. */
  readonly bound?: number;
  readonly probabilities?: Float32Array;
  /** Entries of the grid. */
  readonly entries?: Uint32Array;
}

export class Uses {
  readonly gpu: Gpu;
  readonly model: Model;
  /** Examples that are there. */
  readonly count: number;
  private readonly parameters: Parameters;
  private readonly abilities: Abilities;
  private readonly set: ImageSet;
  private readonly pixels: number;
  private readonly programs = new Map<
    string,
    Promise<{ readonly ready: Program; readonly outputs: readonly string[] }>
  >();
  /** A program is asked one thing at a time. */
  private queue: Promise<unknown> = Promise.resolve();

  constructor(gpu: Gpu, model: Model, parameters: Parameters, abilities: Abilities, set: ImageSet, most: number) {
    this.gpu = gpu;
    this.model = model;
    this.parameters = parameters;
    this.abilities = abilities;
    this.set = set;
    this.count = Math.min(most, set.count);
    this.pixels = set.height * set.width * set.channels;
  }

  /** Runs the program of a name, which is built when it is first run, and reads its outputs. */
  private call(name: string, inputs: Arrays, build: () => Record<string, Tensor>): Promise<Arrays> {
    const work = async () => {
      let program = this.programs.get(name);
      if (!program) {
        const outputs = inEvaluation(build);
        program = compile(this.gpu, { outputs }).then((ready) => ({ ready, outputs: Object.keys(outputs) }));
        this.programs.set(name, program);
        program.catch(() => this.programs.delete(name));
      }
      const { ready, outputs } = await program;
      ready.run(Object.fromEntries(Object.entries(inputs).filter(([input]) => ready.inputs.has(input))));
      const read = await Promise.all(outputs.map((output) => ready.read(output)));
      return Object.fromEntries(outputs.map((output, i) => [output, read[i] as Float32Array | Uint32Array]));
    };
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  /** Rows of `width` numbers through a program, a batch at a time. */
  private async rows(
    name: string,
    data: Float32Array,
    width: number,
    labels: (i: number) => number,
    build: (rows: Tensor, labels: Tensor | undefined) => Record<string, Tensor>,
  ): Promise<Record<string, Float32Array>> {
    const count = data.length / width;
    const batch = count === 1 ? 1 : BATCH;
    const results: Record<string, Float32Array> = {};
    for (let first = 0; first < count; first += batch) {
      const rows = new Float32Array(batch * width);
      rows.set(data.subarray(first * width, (first + batch) * width));
      const told = Uint32Array.from({ length: batch }, (_, i) => labels(Math.min(first + i, count - 1)));
      const outputs = await this.call(`${name} ${batch}`, { rows, labels: told }, () =>
        build(input('rows', [batch, width]), this.toldTo(batch)),
      );
      for (const [key, values] of Object.entries(outputs)) {
        const each = values.length / batch;
        results[key] ??= new Float32Array(count * each);
        results[key].set((values as Float32Array).subarray(0, Math.min(batch, count - first) * each), first * each);
      }
    }
    return results;
  }

  private toldTo(batch: number): Tensor | undefined {
    return this.abilities.toldClasses > 0 ? input('labels', [batch], 'u32') : undefined;
  }

  private get space(): CodeSpace {
    const { space } = this.abilities;
    if (!space) throw new OptionError('this model has no codes of numbers');
    return space;
  }

  private readonly labelOf = (i: number) => this.set.labels?.[i] ?? 0;

  examples(first: number, count: number): Float32Array {
    const { images } = this.set;
    const { pixels } = this;
    return Float32Array.from(images.subarray(first * pixels, (first + count) * pixels), (byte) => byte / 255);
  }

  codes() {
    const all = this.examples(0, this.count);
    return this.rows('encode', all, this.pixels, this.labelOf, (rows, labels) => ({
      ...this.space.encode(rows, labels),
    })) as Promise<{
      mean: Float32Array;
      logvar: Float32Array;
    }>;
  }

  async decode(codes: Float32Array, label: number): Promise<Float32Array> {
    const { size } = this.space;
    const { images } = await this.rows(
      'decode',
      codes,
      size,
      () => label,
      (rows, labels) => ({
        images: this.space.decode(rows, labels),
      }),
    );
    return images!;
  }

  async bounds(): Promise<Float32Array> {
    const all = this.examples(0, Math.min(256, this.count));
    const { bound } = await this.rows('bounds', all, this.pixels, this.labelOf, (rows, labels) => {
      const noise = normal([rows.shape[0]!, this.space.size], randomKey(1, constant(0, 'u32')));
      return { bound: this.space.bound(rows, noise, labels) };
    });
    return bound!.sort();
  }

  async look(image: Float32Array, label: number): Promise<Look> {
    const { reconstruct, space, classify, grid } = this.abilities;
    const labels = Uint32Array.of(label);
    const found = await this.call('look', { image, labels }, () => {
      const one = input('image', [1, this.pixels]);
      const told = this.toldTo(1);
      return {
        ...(reconstruct && { reconstruction: reconstruct(one, told) }),
        ...(space && { ...space.encode(one, told), bound: this.boundOf(one, told) }),
        ...(classify && { probabilities: classify(one) }),
        ...(grid && { entries: grid.encode(one) }),
      };
    });
    const { bound, ...rest } = found;
    return { ...rest, ...(bound && { bound: bound[0]! }) } as Look;
  }

  /** The bound of one image, as the mean over the same samples each time, so that it moves with the image alone. */
  private boundOf(one: Tensor, label: Tensor | undefined): Tensor {
    const noise = normal([SAMPLES, this.space.size], randomKey(0, constant(0, 'u32')));
    const repeated = broadcastTo(one, [SAMPLES, this.pixels]);
    return mean(this.space.bound(repeated, noise, label && broadcastTo(label, [SAMPLES])));
  }

  private get grid() {
    const { grid } = this.abilities;
    if (!grid) throw new OptionError('this model has no grid of codes');
    return grid;
  }

  async decodeGrid(entries: Uint32Array): Promise<Float32Array> {
    const { grid } = this;
    const { image } = await this.call('grid', { entries }, () => ({
      image: grid.decode(input('entries', [grid.height * grid.width], 'u32')),
    }));
    return image as Float32Array;
  }

  async entries(): Promise<Float32Array> {
    const { grid } = this;
    const positions = grid.height * grid.width;
    const entries = Uint32Array.from({ length: grid.entries * positions }, (_, i) => Math.floor(i / positions));
    const { images } = await this.call('entries', { entries }, () => ({
      images: grid.decode(input('entries', [grid.entries * positions], 'u32')),
    }));
    return images as Float32Array;
  }

  /** Frees all of it, once what was asked for is done: another model may take its place meanwhile. */
  destroy(): void {
    void this.queue.then(() => {
      for (const program of this.programs.values()) program.then(({ ready }) => ready.destroy()).catch(() => {});
      freeVariables(this.gpu, [this.parameters.flat, ...this.model.namedBuffers().values()]);
    });
  }
}
