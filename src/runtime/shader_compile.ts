// Compiles a shader that somebody brings along, and says which line the driver does not like.
import { OptionError, ShaderError } from '../errors.ts';
import { popScope } from '../gpu/error_scope.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { setConstant, specialise } from '../gpu/specialise.ts';
import type { BindingDescription } from './shader_data.ts';

export interface ShaderSource {
  /** How messages call it. */
  readonly name: string;
  /** WGSL with one entry point, or with one that is called `main`. */
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
  /** Values of its `override` and `const` declarations, by name. */
  readonly constants?: Readonly<Record<string, number | boolean>>;
}

/** A shader that the driver refused, with the place of each complaint. */
export class WgslError extends ShaderError {
  readonly shader: string;
  readonly complaints: readonly Complaint[];

  constructor(shader: string, complaints: readonly Complaint[]) {
    const told = complaints.map(
      ({ line, column, message, text }) => `line ${line}, column ${column}: ${message} in «${text}»`,
    );
    super(`${shader}: ${told.join('; ')}`);
    this.shader = shader;
    this.complaints = complaints;
  }
}

export interface Complaint {
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** The line as it stands in the shader. */
  readonly text: string;
}

/** What a shader says of its bindings, as far as plain declarations tell: its access by number. */
function declaredBindings(code: string): Map<number, BindingDescription['access']> {
  const declaration = /@binding\(\s*(\d+)[ui]?\s*\)[^;]*?var\s*<\s*(\w+)\s*(?:,\s*(\w+)\s*)?>/g;
  return new Map(
    [...code.replace(/\/\/.*$/gm, '').matchAll(declaration)].map(([, binding, space, access = 'read']) => {
      return [Number(binding), (space === 'uniform' ? space : access) as BindingDescription['access']];
    }),
  );
}

/** @throws OptionError if the shader wants other buffers than are described */
export function checkBindings({ name, code }: ShaderSource, bindings: readonly BindingDescription[]): void {
  for (const [binding, access] of declaredBindings(code)) {
    const described = bindings.find((other) => other.binding === binding);
    const wants = `${name} declares binding ${binding} as ${access}`;
    if (!described) throw new OptionError(`${wants}, and no buffer is described for it`);
    // Of two shaders, one may write what the other only reads.
    const fits = described.access === access || (described.access === 'read_write' && access === 'read');
    if (!fits) throw new OptionError(`${wants}; its buffer is described as ${described.access}`);
  }
}

export function layoutOf(
  gpu: Gpu,
  { code }: ShaderSource,
  bindings: readonly BindingDescription[],
): GPUBindGroupLayout {
  const declared = declaredBindings(code);
  const types = { read: 'read-only-storage', read_write: 'storage', uniform: 'uniform' } as const;
  const entries = bindings.map(({ binding, access }) => ({
    binding,
    // COMPUTE.
    visibility: 4,
    buffer: { type: types[declared.get(binding) ?? access] },
  }));
  return gpu.device.createBindGroupLayout({ entries });
}

/** @throws WgslError, ShaderError or OptionError */
export async function compileShader(
  gpu: Gpu,
  source: ShaderSource,
  layout: GPUBindGroupLayout,
): Promise<GPUComputePipeline> {
  const { device } = gpu;
  const { name, constants = {} } = source;
  const overrides: Record<string, number> = {};
  let code = source.code;
  for (const [key, value] of Object.entries(constants)) {
    if (new RegExp(`\\boverride\\s+${key}\\b`).test(code)) overrides[key] = Number(value);
    else if (new RegExp(`^const ${key}: `, 'm').test(code)) code = setConstant(code, key, value);
    else throw new OptionError(`${name} declares no override or const ${key}`);
  }
  // As it was typed, so that the lines are right.
  const module = await compileModule(device, name, code);
  const marked = code.includes('// unroll');
  device.pushErrorScope('validation');
  const pending = device.createComputePipelineAsync({
    label: name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: {
      module: marked ? device.createShaderModule({ code: specialise(code, {}) }) : module,
      entryPoint: entryOf(name, code),
      constants: overrides,
    },
  });
  const scope = popScope(device);
  try {
    return await pending;
  } catch (error) {
    gpu.check();
    // What follows the first line tells of calls that the reader has not made.
    throw new ShaderError(`${name}: ${(error as Error).message.split('\n')[0]}`, { cause: error });
  } finally {
    await scope;
  }
}

async function compileModule(device: GPUDevice, name: string, code: string): Promise<GPUShaderModule> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code, label: name });
  const scope = popScope(device);
  const { messages } = await module.getCompilationInfo();
  await scope;
  const lines = code.split('\n');
  const complaints = messages
    .filter(({ type }) => type === 'error')
    .map(({ lineNum, linePos, message }) => {
      return { line: lineNum, column: linePos, message, text: lines[lineNum - 1]?.trim() ?? '' };
    });
  if (complaints.length > 0) throw new WgslError(name, complaints);
  return module;
}

function entryOf(name: string, code: string): string {
  const bare = code.replace(/\/\/.*$/gm, '');
  const names = [...bare.matchAll(/\bfn\s+(\w+)/g)]
    .filter(({ index }) => /@compute\b[^;{}]*$/.test(bare.slice(0, index)))
    .map((match) => match[1]!);
  if (names.length === 0) throw new OptionError(`${name} has no @compute function`);
  if (names.length > 1 && !names.includes('main')) {
    throw new OptionError(`${name} has several entry points (${names.join(', ')}); call the one that is meant main`);
  }
  return names.length === 1 ? names[0]! : 'main';
}
