// Data sets as named tensors, with one row an example: what the trainer takes. Images are one kind of them.
import { DataError } from '../errors.ts';
import { mul, toF32 } from '../ops/elementwise.ts';
import { bernoulli, type RandomKey } from '../ops/random.ts';
import { type Shape, show, sizeOf, type Tensor } from '../ops/tensor.ts';
import { type Binarization, binarized } from './binarize.ts';
import { checkDataset, type Dataset, type ImageSet } from './images.ts';

const ARRAYS = { u8: Uint8Array, u32: Uint32Array, f32: Float32Array };

/** One tensor of all examples. */
export interface ExampleTensor {
  /** As it lies in memory, here and on the GPU; a graph reads u8 as u32. */
  readonly dtype: 'u8' | 'u32' | 'f32';
  /** Of one example: [] for a number. */
  readonly shape: Shape;
  /** [count, …shape], row-major, in the array of its type; of windows, one after the other what they are cut from. */
  readonly data: Uint8Array | Uint32Array | Float32Array;
  /** If examples are windows into the data: they begin so many elements apart, and may overlap. */
  readonly stride?: number;
  /** Windows of an epoch all begin later by a number below this, another in each: the data are cut elsewhere. */
  readonly shifts?: number;
}

/** Elements from the beginning of one example to that of the next. */
export const strideOf = ({ shape, stride }: ExampleTensor) => stride ?? sizeOf(shape);

export interface Examples<Name extends string = string> {
  readonly count: number;
  readonly tensors: Readonly<Record<Name, ExampleTensor>>;
}

/** Tensors of a batch by name, [batch, …shape] each. */
export type Batch<Name extends string = string> = Readonly<Record<Name, Tensor>>;

export interface TensorDataset<Name extends string = string> {
  readonly name: string;
  readonly train: Examples<Name>;
  /** Examples of the same kind to judge by. */
  readonly test?: Examples<Name>;
  /**
   * What a model gets of a batch as it is stored: bytes as intensities, say. As it is by default.
   *
   * @param key what it may draw from: other numbers in each step
   */
  readonly view?: (stored: Batch<Name>, key: RandomKey) => Batch<Name>;
}

/** `u8 [784]` by name: of what kind a data set is. */
export function describeTensors({ tensors }: Examples): Record<string, string> {
  const described = Object.entries(tensors).map(([name, { dtype, shape }]) => [name, `${dtype} ${show(shape)}`]);
  return Object.fromEntries(described);
}

/** Bytes of one example. */
export function rowBytes({ tensors }: Examples): number {
  return Object.values(tensors).reduce(
    (sum, { dtype, shape }) => sum + sizeOf(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT,
    0,
  );
}

function checkExamples({ count, tensors }: Examples, name: string): void {
  if (!Number.isSafeInteger(count) || count < 1) throw new DataError(`${name} has ${count} examples: give it some`);
  if (Object.keys(tensors).length === 0) throw new DataError(`${name} has no tensors: name at least one`);
  for (const [key, tensor] of Object.entries(tensors)) {
    const { dtype, shape, data, stride, shifts = 1 } = tensor;
    const wanted = Object.hasOwn(ARRAYS, dtype) ? ARRAYS[dtype] : undefined;
    if (!wanted) throw new DataError(`${name}, ${key}: dtype must be u8, u32 or f32, got ${dtype}`);
    if (!Array.isArray(shape) || shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
      throw new DataError(`${name}, ${key}: the shape of one example must be positive integers, got [${shape}]`);
    }
    for (const [name, value] of Object.entries({ stride: strideOf(tensor), shifts })) {
      if (!Number.isSafeInteger(value) || value < 1) {
        throw new DataError(`${key}: ${name} must be a positive integer, got ${value}`);
      }
    }
    const length = (count - 1) * strideOf(tensor) + sizeOf(shape) + shifts - 1;
    const fits = stride === undefined ? data.length === length : data.length >= length;
    if (!(data instanceof wanted) || !fits) {
      const got = `a ${(data as object | undefined)?.constructor?.name} of ${(data as { length?: number })?.length}`;
      const says = `${count} examples of ${dtype} ${show(shape)}`;
      throw new DataError(`${name}, ${key}: ${says} are a ${wanted.name} of ${length}, got ${got}`);
    }
  }
}

/**
 * Checks that a data set is what it says it is.
 *
 * @throws DataError if a split is empty, if data do not fit shape and type, or if training and test are not alike
 */
export function checkTensors({ name, train, test }: TensorDataset): void {
  checkExamples(train, `${name}, training`);
  if (!test) return;
  checkExamples(test, `${name}, test`);
  const [one, other] = [train, test].map((examples) => JSON.stringify(describeTensors(examples)));
  if (one !== other) throw new DataError(`${name}: training examples are ${one} and test examples ${other}`);
}

export type ImageNames = 'images' | 'labels';

function imageExamples({ images, labels, count, height, width, channels }: ImageSet): Examples<ImageNames> {
  const tensors = {
    images: { dtype: 'u8', shape: [height * width * channels], data: images },
    ...(labels && { labels: { dtype: 'u8', shape: [], data: labels } }),
  };
  return { count, tensors: tensors as unknown as Record<ImageNames, ExampleTensor> };
}

/**
 * Images and, where there are, their labels: `images` f32 [batch, pixels], intensities, or 0 and 1 where they are binarized;
 * `labels` u32 [batch].
 *
 * @param seed what the test images are drawn by, where they are
 * @throws DataError if the data set is not what it says
 */
export function imageTensors(
  dataset: Dataset,
  { binarize = 'none', seed = 0 }: { binarize?: Binarization; seed?: number } = {},
): TensorDataset<ImageNames> {
  checkDataset(dataset);
  const { name, train, test } = binarized(dataset, binarize, seed);
  return {
    name,
    train: imageExamples(train),
    test: imageExamples(test),
    view({ images, ...rest }, key) {
      const intensities = mul(toF32(images), 1 / 255);
      // Of the test images, which are 0 and 1 already, a draw makes the same.
      return { images: binarize === 'dynamic' ? bernoulli(intensities, key) : intensities, ...rest };
    },
  };
}
