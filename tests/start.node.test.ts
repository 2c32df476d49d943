// What `npm run` does with commands that are none, and with options of the studio's server.
import { expect, test } from 'vitest';
import { runCommand } from './command.ts';

test.each([
  ['nothing', [], /^glia: unknown command "nothing"; the commands are bench, .*train/],
  ['dev', ['--wat'], /^glia: Unknown option '--wat'; npm run dev -- --help lists the options\n$/],
  ['dev', ['--port', '70000'], /^glia: --port must be a whole number from 1 to 65535; got "70000"\n$/],
])('%s %j is refused in one line', async (command, args, line) => {
  const { code, stdout, stderr } = await runCommand(command, args, '.');
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(line);
});

test('the help of the studio names its options, and serves nothing', async () => {
  const { code, stdout } = await runCommand('dev', ['--help'], '.');
  expect(code).toBe(0);
  expect(stdout).toContain('--port <n>');
});
