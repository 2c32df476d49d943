// The plain neural network: images to classes.
import { OptionError } from '../errors.ts';
import { Flatten } from '../nn/conv.ts';
import { Linear, ReLU, Sequential } from '../nn/layers.ts';
import { argmax } from '../ops/argmax.ts';
import { crossEntropy } from '../ops/cross_entropy.ts';
import { equal, toF32 } from '../ops/elementwise.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { type ImageBatch, Model, type Terms } from './model.ts';
import { checkSizes, convEncoder, type ImageShape, sizeAfter } from './networks.ts';

export interface ClassifierOptions {
  /** Numbers in one image. */
  readonly pixels: number;
  readonly classes: number;
  /** Width of the hidden layer. */
  readonly hidden?: number;
  /** Another network than a multilayer perceptron: [batch, pixels] to logits [batch, classes]. */
  readonly layers?: Sequential;
}

/** Convolutions that halve the image, with batch norm, and a hidden layer on what is left. */
export function convClassifier(shape: ImageShape, classes: number, hidden: number, widths = [32, 64]): Sequential {
  const { height, width } = sizeAfter(shape, widths.length);
  const size = widths.at(-1)! * height * width;
  const head = [new Flatten(), new Linear(size, hidden), new ReLU(), new Linear(hidden, classes)];
  return new Sequential(...convEncoder(shape, widths, true), ...head);
}

export class Classifier extends Model {
  readonly layers: Sequential;
  readonly classes: number;

  constructor({ pixels, classes, hidden = 400, layers }: ClassifierOptions) {
    super();
    checkSizes('Classifier', { pixels, classes, hidden });
    this.classes = classes;
    this.layers = layers ?? new Sequential(new Linear(pixels, hidden), new ReLU(), new Linear(hidden, classes));
  }

  /** Logits [batch, classes]. */
  forward(images: Tensor): Tensor {
    return scope('layers', () => this.layers.forward(images));
  }

  /** `loss` is the cross entropy in nats; `accuracy` is 1 where the label has the greatest logit. */
  override terms({ images, labels }: ImageBatch): Terms {
    if (!labels) throw new OptionError('the classifier learns from labels, and this data set has none');
    const logits = this.forward(images);
    return scope('loss', () => {
      const right = toF32(equal(argmax(logits), labels));
      return { loss: crossEntropy(logits, labels), accuracy: right };
    });
  }
}
