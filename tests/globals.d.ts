// What vite.config.ts defines.

/** Whether tests run all cases (`npm test -- --all`) of which they otherwise take some, others each time. */
declare const ALL_TESTS: boolean;
