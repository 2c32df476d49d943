// Installs npm packages that are too large for everybody's install, when something first wants them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Installs packages (NAME@VERSION) into a folder of their own. @throws Error with npm's first words */
export function installPackages(folder: string, packages: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  // With a package.json of its own, npm does not take the project's for it.
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const [file, before] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const { status, error, stderr } = spawnSync(file, [...before, ...args, ...packages], {
    encoding: 'utf8',
    shell: file === 'npm' && process.platform === 'win32',
    timeout: 300_000,
  });
  if (status !== 0) throw error ?? new Error(stderr.trim().split('\n')[0] || 'npm install failed');
}
