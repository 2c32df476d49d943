// Starts engines by name. Each is imported when it is asked for, so that a page loads no other.
import type { EngineName } from './results.ts';
import type { Engine } from './workloads.ts';

export async function startEngine(name: EngineName): Promise<Engine> {
  if (name === 'glia') return (await import('./glia.ts')).createEngine();
  if (name === 'tfjs') return (await import('./tfjs.ts')).createEngine();
  return (await import('./jax.ts')).createEngine(name === 'jax' ? 'webgpu' : 'wasm');
}
