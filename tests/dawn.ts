// Vitest's global set-up of the tests that run in Node on Dawn: gets Dawn and lavapipe, or says that they are not to be had.
import type { TestProject } from 'vitest/node';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { installMesa } from '../src/cli/dawn/mesa.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Why the tests on lavapipe cannot run here; empty if they can. */
    withoutLavapipe: string;
  }
}

async function problem(): Promise<string> {
  try {
    await startDawn('lavapipe');
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

export async function setup({ provide }: TestProject): Promise<() => void> {
  let missing = await problem();
  if (missing) {
    const refusal = installMesa();
    missing = refusal ? `${missing}; ${refusal}` : await problem();
  }
  provide('withoutLavapipe', missing);
  const tell = () => {
    if (missing) console.error(`\n!!! NOT TESTED: wide subgroups and f16, which take lavapipe: ${missing}\n`);
  };
  tell();
  // Again where the eye falls, at the end.
  return tell;
}
