// Tells whose WGSL it is that a driver refuses, by the lines of its author's own text rather than of the kernel made of it.
import { ShaderError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Lowered } from '../graph/lower.ts';
import type { Tensor } from '../ops/tensor.ts';

/** The error with which a kernel was refused, or a better one, where an op's own text is refused by itself. */
export async function explained(gpu: Gpu, { group, source }: Lowered, error: unknown): Promise<unknown> {
  if (!(error instanceof ShaderError)) return error;
  const seen = new Set<Tensor>();
  const left = [...group.outputs];
  for (let node = left.pop(); node; node = left.pop()) {
    if (seen.has(node) || group.reads.has(node)) continue;
    seen.add(node);
    left.push(...node.inputs);
    const text = node.op.traits?.opaque ? source : node.op.standalone?.(node);
    const problem = text && (await problemOf(gpu, text));
    if (!problem) continue;
    const where = node.path ? `${node.path}: ` : '';
    return new ShaderError(`${where}${node.op.name}: the driver refuses its WGSL: ${problem}`, { cause: error });
  }
  return error;
}

/** The first thing that a driver finds wrong with a shader. */
async function problemOf(gpu: Gpu, code: string): Promise<string | undefined> {
  gpu.device.pushErrorScope('validation');
  const module = gpu.device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  await gpu.device.popErrorScope();
  const first = messages.find(({ type }) => type === 'error');
  return first && `line ${first.lineNum}: ${first.message} in «${code.split('\n')[first.lineNum - 1]?.trim()}»`;
}
