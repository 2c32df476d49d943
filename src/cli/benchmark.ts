// `npm run benchmark`: how fast Glia is on this machine's GPU, alone and in two minutes: `npm run bench` with other defaults.
import { runBench } from './bench.ts';

export function main(args: string[]): Promise<number> {
  return runBench(args, { command: 'npm run benchmark', peers: ['none'], rounds: 3 });
}
