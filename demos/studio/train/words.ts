// What options are called on the page, where the command line is short.
const WORDS: Readonly<Record<string, string>> = {
  lr: 'learning rate',
  batch: 'batch size',
  decay: 'learning rate decay',
  hidden: 'hidden units',
  latent: 'latent dimensions',
  codes: 'codebook entries',
  beta: 'β',
  warmup: 'KL warm-up',
  size: 'image size',
  colors: 'colours',
  budget: 'GPU memory budget',
  context: 'context length',
  width: 'embedding width',
  heads: 'attention heads',
  lrWarmup: 'learning rate warm-up',
  lrEnd: 'final share of the learning rate',
  beta2: 'β₂ of AdamW',
  weightDecay: 'weight decay',
  clip: 'limit of the gradient norm',
  average: 'decay of the weight average',
  skip: 'gradient skipping',
  accumulate: 'batches a step',
  freeBits: 'free bits',
  wordDropout: 'word dropout',
};

export const wordsOf = (option: string) => WORDS[option] ?? option;
