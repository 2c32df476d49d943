// The plain neural network: images to classes.
import { OptionError } from '../errors.ts';
import { Linear, ReLU, Sequential } from '../nn/layers.ts';
import { equal, mul, sub } from '../ops/elementwise.ts';
import { logsumexp, max, sum } from '../ops/reduce.ts';
import { iota } from '../ops/source.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { reshape } from '../ops/view.ts';
import { type Batch, Model, type Terms } from './model.ts';

export interface ClassifierOptions {
  /** Numbers in one image. */
  readonly pixels: number;
  readonly classes: number;
  /** Width of the hidden layer. */
  readonly hidden?: number;
}

export class Classifier extends Model {
  readonly layers: Sequential;
  readonly classes: number;

  constructor({ pixels, classes, hidden = 400 }: ClassifierOptions) {
    super();
    for (const [name, value] of Object.entries({ pixels, classes, hidden })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new OptionError(`Classifier: ${name} must be a positive integer, got ${value}`);
      }
    }
    this.classes = classes;
    this.layers = new Sequential(new Linear(pixels, hidden), new ReLU(), new Linear(hidden, classes));
  }

  /** Logits [batch, classes]. */
  forward(images: Tensor): Tensor {
    return scope('layers', () => this.layers.forward(images));
  }

  /** `loss` is the cross entropy in nats; `accuracy` is 1 where the label has the greatest logit. */
  override terms({ images, labels }: Batch): Terms {
    if (!labels) throw new OptionError('the classifier learns from labels, and this data set has none');
    const logits = this.forward(images);
    return scope('loss', () => {
      const batch = images.shape[0]!;
      const isLabel = equal(iota([batch, this.classes], 1, 'u32'), reshape(labels, [batch, 1]));
      const picked = sum(mul(logits, isLabel), { axis: 1 });
      return { loss: sub(logsumexp(logits, { axis: 1 }), picked), accuracy: equal(picked, max(logits, { axis: 1 })) };
    });
  }
}
