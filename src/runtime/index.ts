// The public API of profiler and tuner: what `import { … } from 'glia/profiler'` gives. They are loaded when first used.
export { type Ceilings, measureCeilings } from './ceilings.ts';
export { type DispatchProfile, type Profile, type ProfileOptions, profileProgram, traceOf } from './profile.ts';
export { type TuneCandidate, type Tuned, type TuneOptions, type TuneResult, tune, tuneKey } from './tune.ts';
export { type TuneStore, tuneStore } from './tune_store.ts';
