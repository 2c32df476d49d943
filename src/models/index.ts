// The public API of the models: what `import { … } from 'glia/models'` gives.
export { Classifier, type ClassifierOptions } from './classifier.ts';
export { type Batch, Model, type Terms } from './model.ts';
export { type ElboTerms, type Likelihood, type Posterior, VAE, type VAEOptions } from './vae.ts';
