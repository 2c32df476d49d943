// The page behind `npm run profile`.

import { ShaderError } from '../../errors.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { profileShaders } from '../../runtime/shader_profile.ts';
import type { Answer, Found } from '../profile.ts';
import type { PageRequest } from './arguments.ts';
import { explainStep, profileStep } from './step.ts';

export async function profile(request: PageRequest): Promise<Answer<Found>> {
  try {
    const gpu = await Gpu.request();
    const lost = gpu.lost.then((error) => {
      throw error;
    });
    return { result: await Promise.race([work(gpu, request), lost]) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { error: { name: error instanceof ShaderError ? 'ShaderError' : name, message } };
  }
}

async function work(gpu: Gpu, request: PageRequest): Promise<Found> {
  if (request.what === 'schedule') return { adapter: gpu.name, schedule: await explainStep(gpu, request.options) };
  const { repeats } = request;
  if (request.what === 'model') return profileStep(gpu, request.options, repeats);
  const { sources, bindings, flops } = request;
  return profileShaders(gpu, sources, bindings, {
    ...(repeats !== undefined && { repeats }),
    ...(flops !== undefined && { flops }),
  });
}
