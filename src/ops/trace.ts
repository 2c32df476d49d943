// Where in a model the nodes are made that are traced at the moment.
import { OptionError } from '../errors.ts';

const path: string[] = [];

/**
 * Runs `build` so that the nodes that it makes carry `name` in their module path.
 *
 * @throws OptionError if `build` is async
 */
export function scope<T>(name: string, build: () => T): T {
  path.push(name);
  try {
    return refusePromise(`scope ${name}`, build());
  } finally {
    path.pop();
  }
}

/** What is traced after an `await` would be traced outside, or in another trace that runs meanwhile. */
export function refusePromise<T>(name: string, value: T): T {
  if (typeof (value as { then?: unknown } | undefined)?.then !== 'function') return value;
  Promise.resolve(value).catch(() => {});
  throw new OptionError(`${name} got an async function: await first, and trace without`);
}

/** The module path that is being traced, such as `vae.decoder.0`. */
export function currentPath(): string {
  return path.join('.');
}

/** A module path in front of a message. */
export function where(at: string): string {
  return at ? `${at}: ` : '';
}
