// The processes below one, and which of a browser's each is: what a soak kills, and whose memory it looks at.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

export type Kind = 'gpu' | 'renderer' | 'browser' | 'other';

export interface Process {
  readonly pid: number;
  readonly kind: Kind;
}

interface Entry {
  readonly pid: number;
  readonly parent: number;
  readonly args: string;
}

function all(): Entry[] {
  if (!existsSync('/proc/self/stat')) {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).trim().split('\n');
    return lines.map((line) => {
      const [, pid, parent, args = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
      return { pid: Number(pid), parent: Number(parent), args };
    });
  }
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const args = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      // Its name, in parentheses, may hold anything.
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return state === 'Z' ? [] : [{ pid: Number(name), parent: Number(parent), args }];
    } catch {
      return []; // It has ended.
    }
  });
}

function kindOf({ args }: Entry): Kind {
  if (args.includes('--type=gpu-process')) return 'gpu';
  if (args.includes('--type=renderer')) return 'renderer';
  return args.includes('--remote-debugging-pipe') && !args.includes('--type=') ? 'browser' : 'other';
}

/** All processes that descend from one. */
export function descendants(root: number): Process[] {
  const entries = all();
  const found = new Set([root]);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const { pid, parent } of entries) if (found.has(parent)) found.add(pid);
  }
  return entries
    .filter(({ pid }) => pid !== root && found.has(pid))
    .map((entry) => ({ pid: entry.pid, kind: kindOf(entry) }));
}

/** @returns whether there was one to kill */
export function kill(root: number, kind: Exclude<Kind, 'other'>): boolean {
  const victims = descendants(root).filter((process) => process.kind === kind);
  // A script may stand in front of the browser; the outermost is the one.
  const [victim] = kind === 'browser' ? victims : victims.reverse();
  if (!victim) return false;
  try {
    process.kill(victim.pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

/** Bytes of memory of a kind of process that are its own or shared, where the system tells. */
export function memoryOf(root: number, kind: Kind): number {
  let bytes = 0;
  for (const process of descendants(root)) {
    if (process.kind !== kind) continue;
    try {
      bytes += 4096 * Number(readFileSync(`/proc/${process.pid}/statm`, 'utf8').split(' ')[1]);
    } catch {
      // It has ended, or this is no Linux.
    }
  }
  return bytes;
}
