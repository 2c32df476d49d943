// Initialisations, under PyTorch's names: each fills a parameter of a shape from a generator.
import { type Shape, sizeOf } from '../ops/tensor.ts';
import type { Generator } from './generator.ts';

export type Initialiser = (shape: Shape, generator: Generator) => Float32Array;

/** Inputs and outputs of a weight [out, in, …]; further axes are a kernel's. */
function fans(shape: Shape): { fanIn: number; fanOut: number } {
  const kernel = sizeOf(shape.slice(2));
  return { fanIn: (shape[1] ?? 1) * kernel, fanOut: (shape[0] ?? 1) * kernel };
}

const filled = (shape: Shape, draw: () => number) => Float32Array.from({ length: sizeOf(shape) }, draw);

export const zeros: Initialiser = (shape) => new Float32Array(sizeOf(shape));
export const ones: Initialiser = (shape) => new Float32Array(sizeOf(shape)).fill(1);

/** Uniform in [−bound, bound). */
export function uniform(bound: number): Initialiser {
  return (shape, generator) => filled(shape, () => (2 * generator.uniform() - 1) * bound);
}

export function normal(std: number): Initialiser {
  return (shape, generator) => filled(shape, () => generator.normal() * std);
}

/**
 * Uniform with bound gain·√(3 / fan-in) (He et al., Delving Deep into Rectifiers, 2015, equation 10).
 *
 * @param slope of the leaky ReLU that the gain is for; √5 is what PyTorch's layers use, which makes the bound 1/√fan-in
 */
export function kaimingUniform(slope = Math.sqrt(5)): Initialiser {
  const gain = Math.sqrt(2 / (1 + slope * slope));
  return (shape, generator) => uniform(gain * Math.sqrt(3 / fans(shape).fanIn))(shape, generator);
}

/** Uniform with bound √(6 / (fan-in + fan-out)) (Glorot and Bengio, 2010, equation 16). */
export const xavierUniform: Initialiser = (shape, generator) => {
  const { fanIn, fanOut } = fans(shape);
  return uniform(Math.sqrt(6 / (fanIn + fanOut)))(shape, generator);
};
