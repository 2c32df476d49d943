// The page that trains: what to train before, the run under way after.
import { NoGpu } from '../home/no_gpu.tsx';
import { adapter } from '../state.ts';
import { Prepare } from './prepare.tsx';
import { Running } from './running.tsx';
import { state } from './session.ts';

export function Train() {
  return (
    <>
      <h1>Train</h1>
      {adapter.value.state === 'none' && <NoGpu />}
      {state.value === 'none' ? <Prepare /> : <Running />}
    </>
  );
}
