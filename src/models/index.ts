// The public API of the models: what `import { … } from 'glia/models'` gives.
export { Classifier, type ClassifierOptions, convClassifier } from './classifier.ts';
export { DeepVAE, type DeepVAEOptions } from './deep_vae.ts';
export { HierarchicalVAE } from './hierarchical.ts';
export { Hvae, type HvaeOptions } from './hvae.ts';
export { type ElboTerms, type ImportanceTerms, type LatentLayer, LatentModel, type Prepared } from './latent_model.ts';
export { type ImageBatch, Model, type Terms } from './model.ts';
export {
  type ConvSizes,
  convNetworks,
  type ImageShape,
  type MlpSizes,
  mlpNetworks,
  type Networks,
} from './networks.ts';
export { type Likelihood, type Posterior, VAE, type VAEOptions } from './vae.ts';
export { VqVae, type VqVaeOptions } from './vq_vae.ts';
