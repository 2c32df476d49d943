// Work that is asked for more often than it can be done: one at a time, and of those that wait only the newest.

export function newestOnly<Args extends unknown[]>(work: (...args: Args) => Promise<void>): (...args: Args) => void {
  let waiting: Args | undefined;
  let isBusy = false;
  const next = async () => {
    isBusy = true;
    while (waiting) {
      const args = waiting;
      waiting = undefined;
      await work(...args);
    }
    isBusy = false;
  };
  return (...args) => {
    waiting = args;
    if (!isBusy) void next();
  };
}
