// The public API of what text needs: what `import { … } from 'glia/text'` gives.

export { MultiheadAttention, type MultiheadAttentionOptions, TransformerBlock } from '../nn/attention.ts';
export { GRU, type GRUOptions } from '../nn/gru.ts';
export { RMSNorm } from '../nn/rms_norm.ts';
export { type AttentionOptions, attention } from '../ops/attention.ts';
export { embedding } from '../ops/embedding.ts';
export { geluTanh } from '../ops/gelu_tanh.ts';
export { type GruOptions, gru } from '../ops/gru.ts';
export { linearCrossEntropy } from '../ops/linear_cross_entropy.ts';
export { rmsNorm } from '../ops/norm.ts';
export { rotary } from '../ops/rotary.ts';
export { type SampleOptions, type Sampling, sample, sampleBy, sampleReference } from '../ops/sample.ts';
export { Writer, type WriterOptions, type Writing } from './generate.ts';
export { Conv1D, GPT, type GPTOptions } from './gpt.ts';
export { SentenceCoder, type SentenceCoderOptions, type SentenceReading } from './sentences.ts';
export { TextVAE, type TextVAEOptions } from './text_vae.ts';
