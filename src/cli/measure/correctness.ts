// Every op, every kernel variant, f16 and random shapes against float64, on this driver; and the same bits however steps
// are submitted.
import functions from '../../../shaders/random.wgsl?raw';
import { strokeDigits } from '../../data/digits.ts';
import { UnsupportedError } from '../../errors.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { variantsOf } from '../../ops/kernels_all.ts';
import { ops } from '../../ops/registry.ts';
import { readVariable } from '../../runtime/variables.ts';
import { checkOp } from '../../testing/check_op.ts';
import { checkOf } from '../../testing/samples.ts';
import { trainByName } from '../../train/named.ts';
import { completeOptions } from '../../train/options.ts';
import type { Phase } from './phase.ts';

export const correctness: Phase = async ({ gpu, say, keep }) => {
  if (!CHECKS)
    throw new UnsupportedError('this was built without the samples of ops (CHECKS): most would not be checked');
  let passed = 0;
  const failed: string[] = [];
  const attempt = async (name: string, work: () => Promise<unknown>) => {
    try {
      await work();
      passed++;
    } catch (error) {
      failed.push(`${name}: ${(error as Error).message.slice(0, 400)}`);
      say(`FAILED ${failed.at(-1)}`);
    }
    keep('passed', passed);
    keep('failed', failed);
  };
  await attempt('normals are finite for all 2²⁴ uniforms', () => checkNormals(gpu));
  const half = gpu.has('shader-f16');
  for (const op of ops) {
    const { samples = [], reference, random } = checkOf(op);
    if (!reference || samples.length === 0) continue;
    await attempt(`${op.name}, samples`, () => checkOp(gpu, op, samples, { seed: 1 }));
    for (const variant of variantsOf(op)) {
      await attempt(`${op.name} by ${variant.name}`, () => checkOp(gpu, op, samples, { seed: 2, variant }));
      if (!half) continue;
      await attempt(`${op.name} by ${variant.name}, f16`, () =>
        checkOp(gpu, op, samples, { seed: 3, variant, half: true }),
      );
    }
    if (random) await attempt(`${op.name}, random shapes`, () => checkOp(gpu, op, undefined, { seed: 4 }));
  }
  await attempt('the same seed gives the same bits, however steps are submitted', () => checkBits(gpu));
  say(`${passed} passed, ${failed.length} failed`);
};

async function checkBits(gpu: Gpu): Promise<void> {
  const hashes = new Set<string>();
  for (const submits of [[8], [1, 7], [2, 2, 4]]) {
    const trainer = await trainByName(gpu, strokeDigits({ train: 1000, test: 100 }), completeOptions({ model: 'vae' }));
    for (const steps of submits) trainer.program.run({}, { steps });
    const weights = await readVariable(gpu, trainer.parameters.flat);
    hashes.add(String(new Uint32Array(weights.buffer, weights.byteOffset, weights.length).reduce(fold, 0)));
    trainer.destroy();
  }
  if (hashes.size !== 1) throw new Error('bits differ');
}

const fold = (hash: number, word: number) => (Math.imul(hash, 31) + word) | 0;

/** The normal number of every uniform that is drawn, by this driver's logarithm and square root. */
async function checkNormals({ device }: Gpu): Promise<void> {
  const code = `${functions}
    @group(0) @binding(0) var<storage, read_write> bad: atomic<u32>;
    @compute @workgroup_size(256)
    fn main(@builtin(global_invocation_id) id: vec3u) {
      let normal = normal_from_bits(vec4u((id.y * 16384u + id.x) << 8u, 0u, 0u, 0u)).x;
      if ((bitcast<u32>(normal) & 0x7f800000u) == 0x7f800000u) { atomicAdd(&bad, 1u); }
    }`;
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  // STORAGE and COPY_SRC; MAP_READ and COPY_DST.
  const buffer = device.createBuffer({ size: 4, usage: 0x80 | 0x04 });
  const staging = device.createBuffer({ size: 4, usage: 0x01 | 0x08 });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [{ binding: 0, resource: { buffer } }];
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(64, 1024);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const [bad] = new Uint32Array(staging.getMappedRange());
  for (const one of [buffer, staging]) one.destroy();
  if (bad) throw new Error(`the normal number is not finite for ${bad} uniforms`);
}
