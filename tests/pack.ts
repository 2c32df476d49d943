// The package as it would be published, packed once for all tests of a run: the first that wants it packs, the others wait.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder of this run, for the package. */
    packFolder: string;
  }
}

/** Vitest's set-up of the project in Node. */
export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'glia-pack-'));
  project.provide('packFolder', folder);
  return () => rmSync(folder, { recursive: true, force: true });
}

/** @returns the path of the tarball */
export async function packed(): Promise<string> {
  // The set-up runs where there is no test to inject into.
  const { inject } = await import('vitest');
  const folder = inject('packFolder');
  const result = join(folder, 'packed.json');
  try {
    mkdirSync(join(folder, 'begun'));
  } catch {
    while (!existsSync(result)) await setTimeout(200);
    const { tarball, failure } = JSON.parse(readFileSync(result, 'utf8'));
    if (!tarball) throw new Error(`another test could not pack: ${failure}`);
    return tarball;
  }
  const tell = (what: { tarball: string } | { failure: string }) => {
    writeFileSync(`${result}.part`, JSON.stringify(what));
    renameSync(`${result}.part`, result);
  };
  try {
    const said = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    const tarball = join(folder, JSON.parse(said)[0].filename);
    tell({ tarball });
    return tarball;
  } catch (error) {
    tell({ failure: String(error) });
    throw error;
  }
}
