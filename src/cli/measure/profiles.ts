// Where a training step's time goes: by how many steps share a submit, and dispatch by dispatch, alone and in a row.
import { strokeDigits } from '../../data/digits.ts';
import { record } from '../../runtime/dispatch.ts';
import { timePasses } from '../../runtime/timer.ts';
import { trainByName } from '../../train/named.ts';
import { completeOptions, type GivenOptions } from '../../train/options.ts';
import { micro, type Phase } from './phase.ts';

const MODELS: readonly GivenOptions[] = [
  { model: 'vae' },
  { model: 'conv-vae' },
  { model: 'vae', hidden: 4096, batch: 1024 },
  { model: 'burda', batch: 100 },
  { model: 'hvae' },
];
/** Times that a dispatch is repeated in a pass: then its time holds the gap before it, and the sum is a step. */
const IN_A_ROW = 200;

export const profiles: Phase = async ({ gpu, say, keep }) => {
  const { software } = gpu.adapter;
  for (const given of software ? MODELS.slice(0, 1) : MODELS) {
    const name = JSON.stringify(given);
    const trainer = await trainByName(gpu, strokeDigits({ train: 2000, test: 100 }), completeOptions(given));
    const { program } = trainer;
    for (const perSubmit of software ? [1, 8] : [1, 8, 32, 128]) {
      const submits = Math.max(4, Math.floor((software ? 16 : 512) / perSubmit));
      program.run({}, { steps: perSubmit });
      await gpu.device.queue.onSubmittedWorkDone();
      const start = performance.now();
      for (let i = 0; i < submits; i++) program.run({}, { steps: perSubmit });
      const cpu = performance.now() - start;
      await gpu.device.queue.onSubmittedWorkDone();
      const per = (ms: number) => ms / submits / perSubmit;
      const found = { msPerStep: per(performance.now() - start), cpuMsPerStep: per(cpu) };
      keep(`${name}, ${perSubmit} steps a submit`, found);
      say(`${name}, ${perSubmit} steps a submit: ${micro(found.msPerStep)}, of the CPU ${micro(found.cpuMsPerStep)}`);
    }
    const profile = await trainer.profile({ repeats: 7 });
    const times = await timePasses(
      gpu,
      program.commands({}).map((command) => ({
        record(pass: GPUComputePassEncoder) {
          for (let i = 0; i < (software ? 2 : IN_A_ROW); i++) record(pass, command);
        },
      })),
    );
    const inRow = times.map(({ ms }) => ms / (software ? 2 : IN_A_ROW));
    const sum = inRow.reduce((a, b) => a + b, 0);
    const { stepMs, dispatchMs, encodeMs, ceilings, flops } = profile;
    keep(name, { stepMs, dispatchMs, inRowMs: sum, encodeMs, ceilings, flops, dispatches: rowsOf(profile, inRow) });
    say(`${name}: a step ${micro(stepMs)}, its dispatches ${micro(dispatchMs)}, in a row ${micro(sum)}`);
    profile.dispatches.forEach(({ label, variant, workgroups }, i) => {
      say(`  ${micro(inRow[i]!).padStart(12)}  ${label} | ${variant} | ${workgroups.join('×')}`);
    });
    trainer.destroy();
  }
};

type Profiled = Awaited<ReturnType<Awaited<ReturnType<typeof trainByName>>['profile']>>;

const rowsOf = ({ dispatches }: Profiled, inRow: readonly number[]) =>
  dispatches.map(({ label, variant, shapes, workgroups, ms, flops, bytes, share }, i) => ({
    ...{ label, variant, shapes, workgroups, flops, bytes, share },
    microseconds: ms * 1000,
    inRowMicroseconds: inRow[i]! * 1000,
  }));
