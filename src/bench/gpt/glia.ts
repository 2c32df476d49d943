// The transformer in Glia: its step as the trainer makes it, and its writing.
import type { Gpu } from '../../gpu/gpu.ts';
import {
  AdamW,
  compile,
  constant,
  freeVariables,
  gather,
  mean,
  modulo,
  Parameters,
  reshape,
  Variable,
} from '../../index.ts';
import { GPT, Writer } from '../../models/text.ts';
import { prepareProgram } from '../glia_programs.ts';
import type { Prepared } from '../workloads.ts';
import type { GptTask, WriteTask } from './task.ts';

/** With the first weights that the task says. */
export function gptOf({ sizes, weights }: Pick<GptTask | WriteTask, 'sizes' | 'weights'>): GPT {
  const gpt = new GPT(sizes);
  for (const [name, parameter] of gpt.namedParameters()) {
    Object.assign(parameter, { init: () => weights.get(name)!.data });
  }
  return gpt;
}

export async function prepareGptStep(gpu: Gpu, task: GptTask): Promise<Prepared> {
  const { sizes, batch, batches } = task;
  const { beta2, ...optimizer } = task.optimizer;
  const gpt = gptOf(task);
  const parameters = new Parameters(gpt);
  const adam = new AdamW(parameters, {
    ...optimizer,
    betas: [0.9, beta2],
    groups: [{ parameters: (_, { shape }) => shape.length < 2, weightDecay: 0 }],
  });
  const windows = [batch, sizes.context + 1] as const;
  const both = Uint32Array.from([...batches[0], ...batches[1]]);
  const text = new Variable('tokens', [2, batches[0].length], { dtype: 'u32', init: () => both });
  const turn = reshape(modulo(adam.step.tensor, constant(2, 'u32')), [1]);
  const loss = mean(gpt.loss(reshape(gather(text.tensor, turn), windows)));
  const program = await compile(gpu, { outputs: { result: loss }, updates: adam.minimize(loss).updates });
  return prepareProgram(program, [parameters.flat, ...adam.variables, text]);
}

export async function prepareWriting(gpu: Gpu, task: WriteTask): Promise<Prepared> {
  const { prompt, count, cache } = task;
  const gpt = gptOf(task);
  const parameters = new Parameters(gpt);
  const writer = await Writer.create(gpu, gpt, { cache });
  const write = async () => {
    const tokens: number[] = [];
    for await (const some of writer.write(prompt, count, { temperature: 0 })) tokens.push(...some);
    return tokens;
  };
  return {
    once: async () => ({ values: await write() }),
    async run(repeats) {
      for (let i = 0; i < repeats; i++) await write();
    },
    destroy() {
      writer.destroy();
      freeVariables(gpu, [parameters.flat]);
    },
  };
}
