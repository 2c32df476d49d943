// Every op, by name: what the generic op test walks. An op that is not here does not exist.
import { afterOp } from './after.ts';
import { argmaxOp } from './argmax.ts';
import {
  attentionKeyGradientOp,
  attentionOp,
  attentionQueryGradientOp,
  maskedAttentionKeyGradientOp,
  maskedAttentionOp,
  maskedAttentionQueryGradientOp,
} from './attention.ts';
import { betaBinomialNllOp, digammaDifferenceOp, logGammaRatioOp } from './beta_binomial.ts';
import { bernoulliNllOp, gaussianKlOp, gaussianNllOp, geluOp, leakyReluOp, siluOp } from './composite.ts';
import { conv2dOp, conv2dWeightOp, convTranspose2dOp } from './conv.ts';
import { crossEntropyOp } from './cross_entropy.ts';
import { elementwise } from './elementwise.ts';
import { embeddingOp, segmentSumOp, sortIndicesOp } from './embedding.ts';
import { gatherOp, scatterAddOp } from './gather.ts';
import { geluTanhOp, geluTanhSlopeOp } from './gelu_tanh.ts';
import { gruGradientOp, gruOp } from './gru.ts';
import { linearCrossEntropyOp } from './linear_cross_entropy.ts';
import { matmulOp } from './matmul.ts';
import { normalizeOp } from './norm.ts';
import { categoricalNllOp, discretizedLogisticNllOp, logisticMixtureNllOp } from './observation.ts';
import { patchesOp, sumPatchesOp } from './patches.ts';
import { avgPool2dOp, maxPool2dOp, upsample2dOp } from './pool.ts';
import { normalOp, permutationOp, uniformOp } from './random.ts';
import { logsumexpOp, maxOp, sumOp } from './reduce.ts';
import { rotaryOp } from './rotary.ts';
import { layerNormGradientOp, layerNormOp, rmsNormGradientOp, rmsNormOp } from './row_norm.ts';
import { sampleOp } from './sample.ts';
import { softmaxOp, softmaxRowsGradientOp, softmaxRowsOp } from './softmax.ts';
import { constantOp, inputOp, iotaOp, variableOp } from './source.ts';
import { type Op, resultOp } from './tensor.ts';
import { toU32Op } from './to_u32.ts';
import { varianceOp } from './variance.ts';
import { broadcastToOp, concatOp, packOp, padOp, reshapeOp, sliceOp, stopGradientOp, transposeOp } from './view.ts';

export const ops: readonly Op[] = [
  ...[inputOp, variableOp, constantOp, iotaOp, resultOp],
  ...Object.values(elementwise),
  toU32Op,
  ...[reshapeOp, transposeOp, broadcastToOp, sliceOp, padOp, concatOp, packOp, stopGradientOp, afterOp],
  ...[sumOp, maxOp, logsumexpOp, varianceOp],
  ...[matmulOp, argmaxOp, crossEntropyOp, linearCrossEntropyOp],
  ...[gatherOp, scatterAddOp],
  ...[embeddingOp, sortIndicesOp, segmentSumOp],
  ...[patchesOp, sumPatchesOp, conv2dOp, convTranspose2dOp, conv2dWeightOp],
  ...[maxPool2dOp, avgPool2dOp, upsample2dOp, normalizeOp],
  ...[attentionOp, attentionQueryGradientOp, attentionKeyGradientOp],
  ...[maskedAttentionOp, maskedAttentionQueryGradientOp, maskedAttentionKeyGradientOp],
  ...[uniformOp, normalOp, permutationOp],
  ...[layerNormOp, layerNormGradientOp, rmsNormOp, rmsNormGradientOp],
  ...[gruOp, gruGradientOp],
  ...[softmaxOp, softmaxRowsOp, softmaxRowsGradientOp],
  ...[rotaryOp, sampleOp, geluTanhOp, geluTanhSlopeOp],
  ...[geluOp, siluOp, leakyReluOp, bernoulliNllOp, gaussianNllOp, gaussianKlOp],
  ...[discretizedLogisticNllOp, logisticMixtureNllOp, categoricalNllOp],
  ...[logGammaRatioOp, digammaDifferenceOp, betaBinomialNllOp],
] as readonly Op[];
