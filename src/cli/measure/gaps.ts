// What a dispatch costs by itself, on the GPU and on the CPU, and what the adapter can do at best.
import { measureCeilings } from '../../runtime/ceilings.ts';
import { median, timePasses } from '../../runtime/timer.ts';
import type { Phase } from './phase.ts';

const ROUNDS = 6;

/** Dispatches that wait for one another by their buffer, or not; small ones, or one that fills a GPU. */
const WORK = [
  { name: 'chain, 1 workgroup', buffers: 1, workgroups: 1 },
  { name: '16 buffers in turns, 1 workgroup', buffers: 16, workgroups: 1 },
  { name: 'chain, 2048 workgroups', buffers: 1, workgroups: 2048 },
];

export const gaps: Phase = async ({ gpu, say, keep }) => {
  const { device } = gpu;
  const count = gpu.adapter.software ? 100 : 2000;
  const code = `
    @group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3u) { x[id.x] = x[id.x] + 1.0; }`;
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const groups = Array.from({ length: 16 }, () => {
    const buffer = device.createBuffer({ size: 4 * 64 * 2048, usage: 0x80 });
    return device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }],
    });
  });
  const recorder =
    (times: number, buffers: number, workgroups: number) =>
    (pass: GPUComputePassEncoder): void => {
      for (let i = 0; i < times; i++) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, groups[i % buffers]!);
        pass.dispatchWorkgroups(workgroups);
      }
    };
  /** Milliseconds until it is recorded and submitted, and until it is done. */
  const submit = async (record: (pass: GPUComputePassEncoder) => void) => {
    const start = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    record(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const cpu = performance.now() - start;
    await device.queue.onSubmittedWorkDone();
    return { cpu, wall: performance.now() - start };
  };
  for (const { name, buffers, workgroups } of WORK) {
    const record = recorder(count, buffers, workgroups);
    const passes = await timePasses(
      gpu,
      Array.from({ length: ROUNDS }, () => ({ record })),
    );
    const walls: { cpu: number; wall: number }[] = [];
    for (let i = 0; i < ROUNDS; i++) walls.push(await submit(record));
    const perDispatch = (values: readonly number[]) => Number(((median(values) * 1000) / count).toFixed(3));
    const found = {
      gpuMicroseconds: perDispatch(passes.map(({ ms }) => ms)),
      cpuMicroseconds: perDispatch(walls.map(({ cpu }) => cpu)),
      wallMicroseconds: perDispatch(walls.map(({ wall }) => wall)),
    };
    keep(name, found);
    say(`${name}: ${JSON.stringify(found)}`);
  }
  const single: number[] = [];
  for (let i = 0; i < 50; i++) single.push((await submit(recorder(1, 1, 1))).wall);
  keep('one submit and wait, ms', median(single));
  const ceilings = await measureCeilings(gpu);
  keep('ceilings', ceilings);
  say(JSON.stringify(ceilings));
};
