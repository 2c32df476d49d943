// What one can do with a trained model beside training it, as graphs: what the studio's controls are made from. A model's
// entry in the registry says it.
import type { Classifier } from '../models/classifier.ts';
import type { HierarchicalVAE } from '../models/hierarchical.ts';
import type { VAE } from '../models/vae.ts';
import type { VqVae } from '../models/vq_vae.ts';
import { sigmoid } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { softmax } from '../ops/softmax.ts';
import type { Tensor } from '../ops/tensor.ts';

/** Codes of numbers, of which a standard normal is the prior. */
export interface CodeSpace {
  /** Numbers in a code. */
  readonly size: number;
  /** Images [batch, pixels] to the parameters of q(z | x), [batch, size] each. */
  encode(images: Tensor, labels?: Tensor): { readonly mean: Tensor; readonly logvar: Tensor };
  /** Codes [batch, size] to images [batch, pixels], intensities. */
  decode(codes: Tensor, labels?: Tensor): Tensor;
  /** −ELBO of images, nats each, f32 [batch], for standard normal noise [batch, size]. */
  bound(images: Tensor, noise: Tensor, labels?: Tensor): Tensor;
}

/** Codes of entries of a table, one at each position of a grid. */
export interface CodeGrid {
  readonly height: number;
  readonly width: number;
  /** Entries of the table. */
  readonly entries: number;
  /** Images [batch, pixels] to entries u32 [batch · height · width]. */
  encode(images: Tensor): Tensor;
  /** Entries u32 [batch · height · width] to images [batch, pixels]. */
  decode(entries: Tensor): Tensor;
}

/** Graphs are built in evaluation: `inEvaluation(() => …)`. */
export interface Abilities {
  /** Images [batch, pixels] to what the model makes of them. */
  readonly reconstruct?: (images: Tensor, labels?: Tensor) => Tensor;
  readonly space?: CodeSpace;
  readonly grid?: CodeGrid;
  /** Images [batch, pixels] to the probabilities of classes, [batch, classes]. */
  readonly classify?: (images: Tensor) => Tensor;
  /** Classes of which the model is told one, as labels u32 [batch]; 0 where it is told none. */
  readonly toldClasses: number;
}

export function vaeAbilities(vae: VAE): Abilities {
  return {
    reconstruct: (images, labels) => vae.reconstruct(images, labels),
    space: {
      size: vae.latent,
      encode: (images, labels) => vae.encode(images, labels),
      decode: (codes, labels) => vae.decode(codes, labels),
      bound: (images, noise, labels) => vae.elbo(images, noise, { labels, beta: 1 }).loss,
    },
    toldClasses: vae.classes,
  };
}

/** Its code is of many numbers, which depend on one another. */
export function hierarchicalAbilities(vae: HierarchicalVAE): Abilities {
  return { reconstruct: (images) => vae.reconstruct(images), toldClasses: 0 };
}

export function vqVaeAbilities(model: VqVae): Abilities {
  const [height, width] = model.grid;
  return {
    reconstruct: (images) => model.reconstruct(images),
    grid: {
      ...{ height, width, entries: model.codes },
      encode: (images) => model.quantise(model.encode(images)).indices,
      decode: (entries) => sigmoid(model.decodeRaw(gather(model.table, entries))),
    },
    toldClasses: 0,
  };
}

export function classifierAbilities(model: Classifier): Abilities {
  return { classify: (images) => softmax(model.forward(images)), toldClasses: 0 };
}
