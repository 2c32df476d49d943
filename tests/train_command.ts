// `npm run train` in tests: as a person types it, and how it refuses.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { main } from '../src/cli/train.ts';
import { GliaError } from '../src/errors.ts';
import { type RunOptions, runCommand, untouched } from './command.ts';

/** @param scratch where nothing may remain of what is refused */
export function trainCommand(scratch: string) {
  const train = (args: readonly string[], options?: RunOptions) => runCommand('train', args, process.cwd(), options);
  const never = join(scratch, 'never');
  const argsOf = (args: readonly string[]) => (args.includes('--out') ? [...args] : [...args, '--out', never]);
  return {
    train,

    /** One line on standard error, exit code 1, and no trace of a run. */
    async expectRefusal(args: readonly string[], message: RegExp, env: Record<string, string> = {}) {
      const { code, stdout, stderr } = await train(argsOf(args), { env });
      expect(stderr).toMatch(message);
      expect(stderr).toMatch(/^glia: [^\n]*\n$/);
      // How far the reading is, every five seconds, is no trace.
      const told = stdout.replace(/^reading: .*\n/gm, '');
      expect({ code, told, written: existsSync(never) }).toEqual({ code: 1, told: '', written: false });
    },

    /** The same by the command's own function: an error of one line, before there is a browser. */
    async expectRefusedAtOnce(args: readonly string[], message: RegExp) {
      const error = await main(argsOf(args), { server: untouched }).then(
        () => undefined,
        (reason) => reason,
      );
      expect(error).toBeInstanceOf(GliaError);
      expect(error.message).toMatch(message);
      expect(error.message).not.toContain('\n');
      expect(existsSync(never)).toBe(false);
    },
  };
}
