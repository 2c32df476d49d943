// What vite.config.ts defines.

/** Whether tests run all cases (`npm test -- --all`) of which they otherwise take some, others each time. */
declare const ALL_TESTS: boolean;

/** What a run takes is drawn from this: GLIA_FUZZ_SEED, or a new one each run. */
declare const TEST_SEED: number;
