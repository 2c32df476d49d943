// In what order the test files run: what takes longest first, so that the cores are done at the same time. Vitest goes by what it
// measured before, which a clean clone has not, and project by project.
import type { TestSpecification, Vitest } from 'vitest/node';

/** Files of 15 seconds and more on two cores, the longest first: each keeps a worker, and some hardly a core. */
const LONGEST = [
  ...['ops.test', 'train.node', 'package.node', 'trainer.test', 'studio.node', 'lavapipe.dawn', 'evaluate.node'],
  ...['train_data.node', 'consumer.node', 'profile.node', 'examples.node', 'fuzz/lowering.node', 'fuse.node'],
  ...['text_vae.dawn', 'plan.node', 'evaluate.test', 'oracle.test', 'matmul.node', 'conv_vae.test', 'profile.test'],
  ...['healing.dawn', 'subgroup_matrix_loops.dawn', 'defects.dawn', 'reduce.test', 'workgroup_tile.node', 'half.dawn'],
];

const rankOf = ({ moduleId }: TestSpecification) => {
  const at = LONGEST.findIndex((name) => moduleId.includes(`/tests/${name}.`));
  return at < 0 ? LONGEST.length : at;
};

export class LongestFirst {
  private readonly vitest: Vitest;

  constructor(vitest: Vitest) {
    this.vitest = vitest;
  }

  private async base() {
    // Loaded by tests alone: every command reads Vite's configuration, too.
    const { BaseSequencer } = await import('vitest/node');
    return new BaseSequencer(this.vitest);
  }

  async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await (await this.base()).sort(files);
    return sorted.sort((a, b) => rankOf(a) - rankOf(b));
  }

  async shard(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await this.base()).shard(files);
  }
}
