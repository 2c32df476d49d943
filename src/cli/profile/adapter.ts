// Adapters that are described in a file and need not be there: what a step is planned for.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { OptionError } from '../../errors.ts';
import { describeAdapter, LIMITS } from '../../gpu/adapter.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { DEFAULT_LIMITS } from '../../ops/tensor.ts';
import { resolvePath } from '../arguments.ts';

/** An adapter's description. What is said of limits and features is what the adapter has, by WebGPU's names. */
export interface AdapterFile {
  readonly name: string;
  /** Runs on the CPU. */
  readonly software: boolean;
  readonly vendor: string;
  readonly architecture: string;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** Multiprocessors, compute units, or whatever runs workgroups. */
  readonly cores: number;
  /** Threads in flight on one, at most. */
  readonly threadsPerCore: number;
  readonly features: readonly string[];
  /** Those that are more than WebGPU's defaults. */
  readonly limits: Readonly<Record<string, number>>;
}

/** An adapter as a device of it would look to the compiler, and how much of a kernel it holds at once. */
export interface DescribedAdapter {
  readonly name: string;
  readonly cores: number;
  readonly threadsPerCore: number;
  /** Says what it is and what it allows, and nothing more: there is no device behind it. */
  readonly gpu: Gpu;
}

const FOLDER = resolve('src/cli/profile/adapters');

/** Names of the descriptions that ship. */
export function shippedAdapters(): string[] {
  return readdirSync(FOLDER).map((file) => basename(file, '.json'));
}

/** Threads of a subgroup, as WebGPU has them; 0 where there are none. */
const SUBGROUP_SIZES: readonly number[] = [0, 4, 8, 16, 32, 64, 128];

const KINDS: Readonly<Record<keyof AdapterFile, string>> = {
  name: 'string',
  software: 'boolean',
  vendor: 'string',
  architecture: 'string',
  subgroupMinSize: 'number',
  subgroupMaxSize: 'number',
  cores: 'number',
  threadsPerCore: 'number',
  features: 'object',
  limits: 'object',
};

/**
 * The description of that name, of those that ship, or in the file of that path.
 *
 * @throws OptionError if there is none, or if it says too little
 */
export function readAdapter(name: string): DescribedAdapter {
  const ships = shippedAdapters().includes(name);
  const path = ships ? join(FOLDER, `${name}.json`) : resolvePath(name);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    const known = shippedAdapters().join(', ');
    throw new OptionError(`--plan: there is no file ${name}, and the adapters that ship are ${known}`);
  }
  let file: AdapterFile;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new OptionError(`--plan: ${name} is not JSON: ${(error as Error).message}`);
  }
  return described(file, name);
}

function described(file: AdapterFile, from: string): DescribedAdapter {
  const refuse = (why: string) => {
    throw new OptionError(`--plan: ${from} ${why}`);
  };
  if (typeof file !== 'object' || file === null || Array.isArray(file)) refuse('holds no object: see those that ship');
  for (const [key, kind] of Object.entries(KINDS)) {
    const value = file[key as keyof AdapterFile];
    if (value === undefined) refuse(`has no ${key}, a ${kind}`);
    if (typeof value !== kind || value === null) refuse(`wants ${key}, a ${kind}, got ${JSON.stringify(value)}`);
  }
  const { name, cores, threadsPerCore, subgroupMinSize, subgroupMaxSize, features, limits, software } = file;
  for (const [key, value] of Object.entries({ cores, threadsPerCore })) {
    if (!Number.isInteger(value) || value < 1) refuse(`wants ${key}, a whole number from 1, got ${value}`);
  }
  for (const [key, value] of Object.entries({ subgroupMinSize, subgroupMaxSize })) {
    if (!SUBGROUP_SIZES.includes(value)) refuse(`wants ${key}, one of ${SUBGROUP_SIZES.join(', ')}, got ${value}`);
  }
  if (subgroupMinSize > subgroupMaxSize)
    refuse(`has subgroups of ${subgroupMinSize} at least and ${subgroupMaxSize} at most`);
  if (!Array.isArray(features)) refuse('wants features, a list of WebGPU names');
  for (const [key, value] of Object.entries(limits)) {
    const least = (DEFAULT_LIMITS as unknown as Readonly<Record<string, number>>)[key];
    if (least === undefined) refuse(`gives a limit ${key}; the limits are ${Object.keys(DEFAULT_LIMITS).join(', ')}`);
    if (!(Number(value) >= least!)) refuse(`gives the limit ${key} as ${value}; every device of WebGPU has ${least}`);
  }
  // A device has the defaults, and more only of what is asked for.
  const raised = LIMITS.filter((key) => key in limits).map((key) => [key, limits[key]]);
  const device = { limits: { ...DEFAULT_LIMITS, ...Object.fromEntries(raised) } };
  const adapter = { ...describeAdapter({ ...file, isFallbackAdapter: software, description: name }), software };
  const gpu = { adapter, device, has: (feature: string) => features.includes(feature) } as unknown as Gpu;
  return { name, cores, threadsPerCore, gpu };
}
