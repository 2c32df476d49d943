// Runs WGSL of a compute shader in JavaScript, thread by thread, and writes down every access to memory: what a kernel reads
// and writes where, and what of that is side by side in a warp, without a device. It knows as much of WGSL as the kernels of
// matmul, of reductions and of the GRU use; `/` of whole numbers gives a whole one. Threads take turns at barriers.
import { type Token, tokens } from './tokens.ts';

export interface Access {
  /** Which place in the text. */
  readonly site: number;
  readonly variable: string;
  readonly kind: 'load' | 'store';
  /** Of the first byte, and how many. */
  readonly at: number;
  readonly bytes: number;
}

export type Values = number[];
interface Place {
  readonly space: 'storage' | 'workgroup' | 'private';
  /** Sizes of the nested arrays, outermost first. */
  readonly dims: readonly number[];
  /** Numbers of an element: 4 of a vec4. */
  readonly lanes: number;
  readonly bytes: number;
}

/** A shader that is ready to be run. */
export interface Shader {
  readonly workgroupSize: number;
  readonly places: ReadonlyMap<string, Place>;
  /** Runs one workgroup over storage, numbers by buffer's name, and gives the accesses of each of its threads. */
  run(
    storage: ReadonlyMap<string, Values>,
    group: readonly [number, number, number],
    groups: readonly number[],
  ): Access[][];
}

const isVector = (x: unknown): x is number[] => Array.isArray(x);
type Value = number | boolean | Value[];
const each = (a: Value, b: Value, f: (a: number, b: number) => Value): Value => {
  if (isVector(a)) return a.map((x, i) => each(x, isVector(b) ? b[i]! : b, f));
  return isVector(b) ? b.map((y) => each(a, y, f)) : f(a as number, b as number);
};
const BINARY: Readonly<Record<string, (a: number, b: number) => Value>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => (Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b),
  '%': (a, b) => a % b,
  '&': (a, b) => (a & b) >>> 0,
  '|': (a, b) => (a | b) >>> 0,
  '^': (a, b) => (a ^ b) >>> 0,
  '<<': (a, b) => (a << b) >>> 0,
  '>>': (a, b) => a >>> b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};
const PRECEDENCE = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];

const splat = (count: number, args: Value[]): Value => {
  const flat = args.flat() as Value[];
  if (flat.length === 0) return new Array<Value>(count).fill(0);
  return flat.length === 1 ? new Array<Value>(count).fill(flat[0]!) : flat;
};
const matrix = (args: Value[]): Value => (args.length ? args : [0, 1, 2, 3].map(() => [0, 0, 0, 0]));
const map = (a: Value, f: (x: number) => number): Value => (isVector(a) ? a.map((x) => map(x, f)) : f(a as number));
const BITS: Readonly<Record<string, (a: Value) => Value>> = {
  u32: (a) => map(a, (x) => new Uint32Array(Float32Array.of(x).buffer)[0]!),
  f32: (a) => map(a, (x) => new Float32Array(Uint32Array.of(x).buffer)[0]!),
};
const BUILTINS: Readonly<Record<string, (...args: Value[]) => Value>> = {
  min: (a, b) => each(a!, b!, Math.min),
  max: (a, b) => each(a!, b!, Math.max),
  select: (a, b, c) => (isVector(c) ? c.map((one, i) => (one ? (b as Value[]) : (a as Value[]))[i]!) : c ? b! : a!),
  transpose: (m) => (m as Value[][]).map((_, i) => (m as Value[][]).map((column) => column[i]!)),
  vec2f: (...args) => splat(2, args),
  vec2u: (...args) => splat(2, args),
  vec3u: (...args) => splat(3, args),
  vec4f: (...args) => splat(4, args),
  vec4u: (...args) => splat(4, args),
  mat4x4f: (...args) => matrix(args),
  exp: (a) => map(a!, Math.exp),
  log: (a) => map(a!, Math.log),
  abs: (a) => map(a!, Math.abs),
  bitcast_f: (a) => BITS.f32!(a!),
  bitcast_u: (a) => BITS.u32!(a!),
  f32: (a = 0) => a,
  u32: (a = 0) => a,
};

/** A type as it is written, with its parameters. */
interface Type {
  readonly name: string;
  readonly args: readonly (Type | string)[];
}

/** Translates to JavaScript: a generator for each function that waits, which is `main` alone. */
class Translator {
  readonly places = new Map<string, Place>();
  readonly aliases = new Map<string, Type>();
  readonly constants = new Map<string, Value>();
  readonly names = new Set<string>();
  readonly functions: string[] = [];
  sites = 0;
  main: { readonly parameters: readonly string[]; readonly size: readonly string[] } | undefined;
  private at = 0;
  private readonly list: readonly Token[];

  constructor(text: string) {
    this.list = tokens(text);
    while (this.at < this.list.length) this.declaration();
  }

  private get next(): string {
    return this.list[this.at] ?? '';
  }

  private take(): string {
    if (this.at >= this.list.length) throw new Error('WGSL ends early');
    return this.list[this.at++]!;
  }

  private is(token: string): boolean {
    if (this.next !== token) return false;
    this.at++;
    return true;
  }

  private want(token: string): void {
    const got = this.take();
    if (got !== token)
      throw new Error(`wanted ${token}, got ${got}: … ${this.list.slice(this.at - 8, this.at + 4).join(' ')}`);
  }

  private declaration(): void {
    const attributes: string[][] = [];
    while (this.is('@')) attributes.push([this.take(), ...(this.next === '(' ? this.inParentheses() : [])]);
    const kind = this.take();
    if (['enable', 'diagnostic', 'requires'].includes(kind)) {
      while (!this.is(';')) this.take();
    } else if (kind === 'alias') {
      const name = this.take();
      this.want('=');
      this.aliases.set(name, this.type());
      this.want(';');
    } else if (kind === 'const') {
      const name = this.take();
      if (this.is(':')) this.type();
      this.want('=');
      this.constants.set(name, this.constant(this.expression()));
      this.want(';');
    } else if (kind === 'var') {
      const space = this.is('<') ? this.upTo('>')[0]! : 'private';
      const name = this.take();
      this.want(':');
      this.places.set(name, this.placeOf(this.type(), space as Place['space']));
      this.want(';');
    } else if (kind === 'fn') this.fn(attributes);
    else throw new Error(`unknown declaration ${kind}`);
  }

  private inParentheses(): string[] {
    this.want('(');
    const found = this.upTo(')');
    // A workgroup's size: a product, be it written so or along axes.
    return found.filter((token) => token !== ',' && token !== '*');
  }

  private upTo(end: string): string[] {
    const found: string[] = [];
    while (!this.is(end)) found.push(this.take());
    return found;
  }

  private constant(code: string): Value {
    return new Function('B', 'F', 'K', 'splat', `return ${code}`)(
      BINARY_EACH,
      BUILTINS,
      Object.fromEntries(this.constants),
      splat,
    );
  }

  private type(): Type {
    const name = this.take();
    const args: (Type | string)[] = [];
    if (this.is('<')) {
      do {
        if (this.next === '>') break;
        args.push(name === 'array' && args.length === 1 ? this.expression(7) : this.type());
      } while (this.is(','));
      this.want('>');
    }
    const alias = args.length === 0 ? this.aliases.get(name) : undefined;
    return alias ?? { name, args };
  }

  private placeOf({ name, args }: Type, space: Place['space']): Place {
    if (name === 'array') {
      const inner = this.placeOf(args[0] as Type, space);
      const length = args[1] === undefined ? Infinity : Number(this.constant(args[1] as string));
      return { ...inner, dims: [length, ...inner.dims] };
    }
    const lanes = Number(/^vec([234])/.exec(name)?.[1] ?? 1);
    const isHalf = (args[0] as Type | undefined)?.name === 'f16' || name === 'f16';
    return { space, dims: [], lanes, bytes: lanes * (isHalf ? 2 : 4) };
  }

  /** JavaScript for the value of a type that is not given one. */
  private zero({ name, args }: Type): string {
    if (name === 'array') return `Array.from({ length: ${args[1]} }, () => ${this.zero(args[0] as Type)})`;
    if (/^vec|^mat/.test(name)) return `F.${name}()`;
    return '0';
  }

  private fn(attributes: readonly string[][]): void {
    const name = this.take();
    this.want('(');
    const parameters: string[] = [];
    const builtins: string[] = [];
    while (!this.is(')')) {
      if (this.is('@')) {
        this.take();
        builtins.push(this.inParentheses()[0]!);
      }
      parameters.push(this.take());
      this.want(':');
      this.type();
      this.is(',');
    }
    if (this.is('->')) this.type();
    const size = attributes.find(([attribute]) => attribute === 'workgroup_size')?.slice(1);
    if (size) this.main = { parameters: builtins, size };
    const body = this.block(size !== undefined);
    this.functions.push(
      `function${size ? '*' : ''} $${name}(${parameters.map((one) => `$${one}`).join(', ')}) ${body}`,
    );
  }

  private block(waits: boolean): string {
    this.want('{');
    const lines: string[] = [];
    while (!this.is('}')) lines.push(this.statement(waits));
    return `{ ${lines.join('\n')} }`;
  }

  private statement(waits: boolean): string {
    if (this.next === '{') return this.block(waits);
    if (this.is(';')) return '';
    if (this.is('if')) return this.conditional(waits);
    if (this.is('for')) {
      this.want('(');
      const first = this.simple();
      this.want(';');
      const condition = this.expression();
      this.want(';');
      const step = this.simple();
      this.want(')');
      return `for (${first}; ${condition}; ${step}) ${this.block(waits)}`;
    }
    if (this.is('return')) {
      const value = this.next === ';' ? '' : this.expression();
      this.want(';');
      return `return ${value};`;
    }
    if (this.is('workgroupBarrier')) {
      for (const token of ['(', ')', ';']) this.want(token);
      return 'yield;';
    }
    const line = this.simple();
    this.want(';');
    return `${line};`;
  }

  private conditional(waits: boolean): string {
    const condition = this.expression();
    const then = this.block(waits);
    if (!this.is('else')) return `if (${condition}) ${then}`;
    return `if (${condition}) ${then} else ${this.is('if') ? this.conditional(waits) : this.block(waits)}`;
  }

  /** A declaration, an assignment, or a call. */
  private simple(): string {
    if (this.next === 'let' || this.next === 'var' || this.next === 'const') {
      this.take();
      const name = this.take();
      const type = this.is(':') ? this.type() : undefined;
      return `let $${name} = ${this.is('=') ? this.expression() : this.zero(type!)}`;
    }
    const target = this.postfix(true);
    if (this.is('++')) return `${target.code} = ${target.code} + 1`;
    const operator = this.take();
    if (operator === '=') return this.assign(target, this.expression());
    if (/^[-+*/%&|^]=$/.test(operator))
      return this.assign(target, `B[${JSON.stringify(operator[0])}](${target.code}, ${this.expression()})`);
    this.at--;
    return target.code;
  }

  private assign(target: Target, value: string): string {
    return target.store ? target.store(value) : `${target.code} = ${value}`;
  }

  /** @param level of precedence from which operators are taken */
  private expression(level = 0): string {
    if (level === PRECEDENCE.length) return this.unary();
    let left = this.expression(level + 1);
    while (PRECEDENCE[level]!.includes(this.next)) {
      const operator = this.take();
      const right = this.expression(level + 1);
      left = level < 2 ? `(${left} ${operator} ${right})` : `B[${JSON.stringify(operator)}](${left}, ${right})`;
    }
    return left;
  }

  private unary(): string {
    if (this.is('-')) return `B['-'](0, ${this.unary()})`;
    if (this.is('!')) return `!${this.unary()}`;
    return this.postfix(false).code;
  }

  private postfix(isTarget: boolean): Target {
    const token = this.take();
    let code: string;
    let place: { name: string; indices: string[] } | undefined;
    if (token === '(') {
      code = this.expression();
      this.want(')');
    } else if (/^[\d.]/.test(token)) code = String(Number(token.replace(/[uif]$/, '')));
    else if (token === 'true' || token === 'false') code = token;
    else if (this.next === '(') code = this.call(token, this.parameters());
    else if (token === 'bitcast') {
      this.want('<');
      const { name } = this.type();
      this.want('>');
      code = `F.bitcast_${/f/.test(name) ? 'f' : 'u'}(${this.parameters()[0]})`;
    } else if ((token === 'array' || /^vec/.test(token)) && this.next === '<') {
      this.at--;
      const { name, args } = this.type();
      const given = this.parameters();
      code = name === 'array' ? `[${given.join(', ')}]` : `splat(${/\d/.exec(name)![0]}, [${given.join(', ')}])`;
      if (args.length > 2) throw new Error(`unknown type ${name}`);
    } else {
      const space = this.places.get(token)?.space;
      if (space && space !== 'private') place = { name: token, indices: [] };
      code = space === 'private' ? `T.own.${token}` : this.constants.has(token) ? `K.${token}` : `$${token}`;
    }
    for (;;) {
      if (this.is('[')) {
        const index = this.expression();
        this.want(']');
        if (place && place.indices.length < this.places.get(place.name)!.dims.length) {
          place.indices.push(index);
          if (place.indices.length < this.places.get(place.name)!.dims.length) continue;
          const site = this.sites++;
          const where = `'${place.name}', [${place.indices.join(', ')}]`;
          const read = `R(${site}, ${where})`;
          if (isTarget && this.next !== '.' && this.next !== '[')
            return { code: read, store: (value) => `W(${site}, ${where}, ${value})` };
          code = read;
        } else code = `${code}[${index}]`;
      } else if (this.is('.')) {
        const members = [...this.take()].map((letter) => 'xyzw'.indexOf(letter));
        code = members.length === 1 ? `${code}[${members[0]}]` : `[${members.map((i) => `${code}[${i}]`).join(', ')}]`;
      } else
        return place && place.indices.length < this.places.get(place.name)!.dims.length ? this.whole(place) : { code };
    }
  }

  /** What is left of an array, element by element. */
  private whole({ name, indices }: { name: string; indices: readonly string[] }): Target {
    const rest = this.places.get(name)!.dims.slice(indices.length);
    if (rest.length !== 1) throw new Error(`${name} is taken as a whole`);
    const site = this.sites++;
    const at = `'${name}', [${[...indices, 'i'].join(', ')}]`;
    return {
      code: `Array.from({ length: ${rest[0]} }, (_, i) => R(${site}, ${at}))`,
      store: (value) => `${value}.forEach((one, i) => W(${site}, ${at}, one))`,
    };
  }

  private parameters(): string[] {
    this.want('(');
    const found: string[] = [];
    while (!this.is(')')) {
      found.push(this.expression());
      this.is(',');
    }
    return found;
  }

  private call(name: string, args: readonly string[]): string {
    const alias = this.aliases.get(name);
    if (alias) return `splat(${/\d/.exec(alias.name)?.[0] ?? 1}, [${args.join(', ')}])`;
    return `${name in BUILTINS ? 'F.' : '$'}${name}(${args.join(', ')})`;
  }
}

interface Target {
  readonly code: string;
  readonly store?: (value: string) => string;
}

const isMatrix = (a: Value): a is number[][] => isVector(a) && isVector(a[0]);
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** A matrix is its columns. */
function times(a: Value, b: Value): Value | undefined {
  if (isMatrix(a) && isVector(b) && !isMatrix(b))
    return a[0]!.map((_, row) =>
      dot(
        a.map((column) => column[row]!),
        b,
      ),
    );
  if (isMatrix(b) && isVector(a) && !isMatrix(a)) return b.map((column) => dot(a, column));
  return undefined;
}

const BINARY_EACH = Object.fromEntries(
  Object.entries(BINARY).map(([operator, f]) => [
    operator,
    (a: Value, b: Value): Value => {
      if (typeof a === 'number') return typeof b === 'number' ? f(a, b) : (b as number[]).map((y) => f(a, y));
      if (typeof b === 'number') return (a as number[]).map((x) => f(x, b));
      const product = operator === '*' ? times(a, b) : undefined;
      if (product !== undefined) return product;
      return (a as number[]).map((x, i) => f(x, (b as number[])[i]!));
    },
  ]),
);

/** Whose turn it is. */
interface Turn {
  /** Its private variables. */
  own: Record<string, Value>;
  seen: Access[];
}

type Thread = (...parameters: Value[]) => Generator<void, void>;
type Factory = (
  B: unknown,
  F: unknown,
  K: unknown,
  splat: unknown,
  T: Turn,
  R: (site: number, name: string, indices: number[]) => Value,
  W: (site: number, name: string, indices: number[], value: Value) => void,
) => Thread;

export function interpret(text: string): Shader {
  const translated = new Translator(text);
  const { places, constants, functions, main } = translated;
  if (!main) throw new Error('no entry point');
  const values = Object.fromEntries(constants);
  const factory = new Function(
    'B',
    'F',
    'K',
    'splat',
    'T',
    'R',
    'W',
    `'use strict';\n${functions.join('\n')}\nreturn $main;`,
  ) as Factory;
  const workgroupSize = main.size.reduce((all, one) => all * Number(values[one] ?? one.replace('u', '')), 1);
  const flatten = (name: string, indices: readonly number[]) => {
    const { dims, space } = places.get(name)!;
    // Of storage, WebGPU reads what is there if asked for what is not; kernels mask that. A workgroup's memory they know.
    if (space === 'storage' && dims.length === 1) return Math.max(0, Math.min(indices[0]!, dims[0]! - 1));
    return indices.reduce((flat, index, i) => {
      if (!(index >= 0 && index < dims[i]!)) throw new Error(`${name}[${indices}] is out of bounds`);
      return flat * (i === 0 ? 1 : dims[i]!) + index;
    }, 0);
  };
  return {
    workgroupSize,
    places,
    run(storage, group, groups) {
      const memory = new Map(storage);
      for (const [name, { space, dims, lanes }] of places) {
        // What was never written is no number, so that who reads it is seen.
        if (space === 'workgroup')
          memory.set(name, new Array<number>(lanes * dims.reduce((a, b) => a * b, 1)).fill(NaN));
      }
      const turn: Turn = { own: {}, seen: [] };
      const note = (site: number, kind: Access['kind'], variable: string, indices: readonly number[]) => {
        const flat = flatten(variable, indices);
        const { bytes } = places.get(variable)!;
        turn.seen.push({ site, variable, kind, at: flat * bytes, bytes });
        return flat;
      };
      const read = (site: number, name: string, indices: number[]): Value => {
        const flat = note(site, 'load', name, indices);
        const { lanes } = places.get(name)!;
        const all = memory.get(name)!;
        return lanes === 1 ? all[flat]! : all.slice(flat * lanes, flat * lanes + lanes);
      };
      const write = (site: number, name: string, indices: number[], value: Value) => {
        const flat = note(site, 'store', name, indices);
        const { lanes } = places.get(name)!;
        const all = memory.get(name)!;
        if (lanes === 1) all[flat] = value as number;
        else for (let i = 0; i < lanes; i++) all[flat * lanes + i] = (value as number[])[i]!;
      };
      const start = factory(BINARY_EACH, BUILTINS, values, splat, turn, read, write);
      const threads = Array.from({ length: workgroupSize }, (_, local) => {
        const builtins: Readonly<Record<string, Value>> = {
          workgroup_id: [...group],
          num_workgroups: [...groups],
          local_invocation_index: local,
          local_invocation_id: [local, 0, 0],
        };
        const own: Turn = { own: {}, seen: [] };
        return { ...own, steps: start(...main.parameters.map((name) => builtins[name]!)) };
      });
      const goes = (thread: (typeof threads)[number]) => {
        turn.own = thread.own;
        turn.seen = thread.seen;
        return !thread.steps.next().done;
      };
      while (threads.filter(goes).length > 0);
      return threads.map(({ seen }) => seen);
    },
  };
}
