// What went wrong, for people. Errors come from workers too, where they lose their class and keep its name.
import * as errors from '../../../src/errors.ts';

const KNOWN = new Set([...Object.keys(errors), 'QuotaError']);

/** Whether it was thrown on purpose, with a line that says what to do. */
export const isTold = (error: unknown) => error instanceof Error && KNOWN.has(error.name);

/** Options are named as on the page, without the dashes of a command line. */
export const optionsAsOnPage = (line: string) => line.replaceAll(/(^|[\s(])--/g, '$1');

/** One line. */
export function lineOf(error: unknown): string {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return isTold(error) ? optionsAsOnPage(message) : `${name}: ${message}`;
}
