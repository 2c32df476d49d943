// The page behind `npm run profile`.

import type { Order } from '../../src/cli/profile/arguments.ts';
import type { Answer } from '../../src/cli/profile.ts';
import { ShaderError } from '../../src/errors.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import type { Profile } from '../../src/runtime/profile.ts';
import { profileShaders, type ShaderProfile } from '../../src/runtime/shader_profile.ts';
import { profileStep } from './work.ts';

export async function profile(order: Order): Promise<Answer<Profile | ShaderProfile>> {
  try {
    const gpu = await Gpu.request();
    const lost = gpu.lost.then((error) => {
      throw error;
    });
    return { result: await Promise.race([work(gpu, order), lost]) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { error: { name: error instanceof ShaderError ? 'ShaderError' : name, message } };
  }
}

function work(gpu: Gpu, order: Order): Promise<Profile | ShaderProfile> {
  const { repeats } = order;
  if (order.what === 'model') return profileStep(gpu, order.options, repeats);
  const { sources, bindings, flops } = order;
  return profileShaders(gpu, sources, bindings, {
    ...(repeats !== undefined && { repeats }),
    ...(flops !== undefined && { flops }),
  });
}
