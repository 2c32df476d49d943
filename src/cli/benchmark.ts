// `npm run benchmark`: how fast Glia is on this machine's GPU, alone and in two minutes: `npm run bench` with other defaults.
import type { ViteDevServer } from 'vite';
import { main as bench } from './bench.ts';

export function main(args: string[], context: { server: ViteDevServer }): Promise<number> {
  return bench(args, context, { command: 'npm run benchmark', peers: ['none'], rounds: 3 });
}
