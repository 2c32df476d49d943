// The page behind `npm run profile`.

import { ShaderError } from '../../errors.ts';
import { Gpu } from '../../gpu/gpu.ts';
import type { Answer } from '../profile.ts';
import type { PageRequest } from './arguments.ts';
import { type Found, measure } from './step.ts';

export async function profile(request: PageRequest): Promise<Answer<Found>> {
  try {
    const gpu = await Gpu.request();
    const lost = gpu.lost.then((error) => {
      throw error;
    });
    return { result: await Promise.race([measure(gpu, request), lost]) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { error: { name: error instanceof ShaderError ? 'ShaderError' : name, message } };
  }
}
