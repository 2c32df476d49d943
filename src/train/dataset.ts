// A data set on the GPU, as it is on disk: bytes. Batches are picked and normalised by the kernel that needs them.
import { checkDataset, type Dataset, type ImageSet } from '../data/images.ts';
import type { Batch } from '../models/model.ts';
import { add, divideFloor, less, minimum, modulo, mul, toF32 } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { permutation } from '../ops/random.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { broadcastTo } from '../ops/view.ts';

class Split {
  readonly count: number;
  readonly variables: readonly Variable[];
  private readonly images: Variable;
  private readonly labels: Variable | undefined;

  constructor(name: string, { images, labels, count, height, width, channels }: ImageSet) {
    this.count = count;
    this.images = new Variable(`${name} images`, [count, height * width * channels], {
      dtype: 'u8',
      init: () => images,
    });
    if (labels) this.labels = new Variable(`${name} labels`, [count], { dtype: 'u8', init: () => labels });
    this.variables = [this.images, ...(this.labels ? [this.labels] : [])];
  }

  /** The images, as intensities, and labels of these rows (u32 [batch]). */
  rows(indices: Tensor): Batch {
    return {
      images: mul(toF32(gather(this.images.tensor, indices)), 1 / 255),
      labels: this.labels && gather(this.labels.tensor, indices),
    };
  }
}

export class GpuDataset {
  readonly train: Split;
  readonly test: Split;

  constructor(dataset: Dataset) {
    checkDataset(dataset);
    this.train = new Split(`${dataset.name}, training`, dataset.train);
    this.test = new Split(`${dataset.name}, test`, dataset.test);
  }

  get variables(): Variable[] {
    return [...this.train.variables, ...this.test.variables];
  }

  /**
   * The training batch of a step (u32 scalar): every epoch shuffles anew, every image comes once an epoch, and a batch
   * may reach from one epoch into the next.
   */
  trainBatch(step: Tensor, batch: number, key: Tensor): Batch {
    const position = add(mul(step, constant(batch, 'u32')), iota([batch], 0, 'u32'));
    const { count } = this.train;
    const epoch = divideFloor(position, constant(count, 'u32'));
    return this.train.rows(permutation(modulo(position, constant(count, 'u32')), epoch, key, count));
  }

  /** The test images from `batch · index` on, with 1 for those that exist and 0 for those past the end. */
  testBatch(index: Tensor, batch: number): Batch & { mask: Tensor } {
    const position = add(mul(index, constant(batch, 'u32')), iota([batch], 0, 'u32'));
    const count = broadcastTo(constant(this.test.count, 'u32'), position.shape);
    const rows = minimum(position, constant(this.test.count - 1, 'u32'));
    return { ...this.test.rows(rows), mask: less(position, count) };
  }
}
