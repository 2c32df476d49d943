// Whose a run folder is: a file in it names the process that writes there. One that died leaves it to the next.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError } from '../../errors.ts';

/** Holds the number of the process, and when it was started. */
const LOCK = 'run.lock';

/** When a process was started, in ticks since the system was, where that is told: numbers of processes come again. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Its name, in parentheses, may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** @throws OptionError if another run writes into the folder */
export function refuseOther(folder: string): void {
  let text: string;
  try {
    text = readFileSync(join(folder, LOCK), 'utf8');
  } catch {
    return;
  }
  const [owner, started = ''] = text.trim().split(' ');
  const pid = Number(owner);
  if (pid === process.pid || !isAlive(pid) || (started && startOf(pid) && started !== startOf(pid))) return;
  throw new OptionError(`another run (process ${pid}) writes into ${folder}: wait for it, or give another --out`);
}

export class Lock {
  private readonly path: string;
  private readonly onExit = () => this.release();

  /** @throws OptionError if another run is there, or what the file system says against it */
  constructor(folder: string) {
    this.path = join(folder, LOCK);
    refuseOther(folder);
    rmSync(this.path, { force: true });
    try {
      // Fails if another run has been faster.
      writeFileSync(this.path, `${process.pid} ${startOf(process.pid)}\n`, { flag: 'wx' });
    } catch (error) {
      refuseOther(folder);
      throw error;
    }
    process.once('exit', this.onExit);
  }

  release(): void {
    process.removeListener('exit', this.onExit);
    try {
      rmSync(this.path, { force: true });
    } catch {
      // In a folder that became read-only it stays, and means nothing once this process has ended.
    }
  }
}
