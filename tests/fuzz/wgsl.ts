// What can be read off specialised WGSL without a compiler: constants, the workgroup's size, its memory, and the buffers.

export interface BufferDeclaration {
  readonly index: number;
  readonly writable: boolean;
  readonly type: string;
  readonly bytes: number;
}

export class Wgsl {
  readonly code: string;
  private readonly names = new Map<string, string>();

  constructor(code: string) {
    this.code = code.replace(/\/\/.*$/gm, '');
    for (const [, name, value] of this.code.matchAll(/^const (\w+)(?:: \w+)? = ([^;]+);/gm))
      this.names.set(name!, value!);
    for (const [, name, type] of this.code.matchAll(/^alias (\w+) = ([^;]+);/gm)) this.names.set(name!, type!);
  }

  /** The value of an expression of numbers and constants. */
  number(expression: string): number {
    let text = expression.replace(/(\d)u\b/g, '$1');
    for (let depth = 0; /[A-Za-z_]/.test(text); depth++) {
      if (depth > 9) throw new Error(`${expression} is not constant`);
      text = text.replace(/[A-Za-z_]\w*/g, (name) => `(${this.names.get(name)})`).replace(/(\d)u\b/g, '$1');
    }
    if (!/^[\d+*/() -]+$/.test(text)) throw new Error(`${expression} is not arithmetic`);
    return Math.floor(Number(new Function(`return ${text}`)()));
  }

  /** Bytes of a type. */
  sizeOf(type: string): number {
    const name = type.trim();
    const open = /^array<([^,]*)>$/.exec(name);
    // As long as what is bound: one element at least.
    if (open) return this.sizeOf(open[1]!);
    const array = /^array<(.*), ([^<>]+)>$/.exec(name);
    if (array) return this.sizeOf(array[1]!) * this.number(array[2]!);
    const vector = /^vec([24])(?:([fu])|<(\w+)>)$/.exec(name);
    if (vector)
      return Number(vector[1]) * this.sizeOf(vector[2] === 'f' ? 'f32' : vector[2] === 'u' ? 'u32' : vector[3]!);
    const size = { f32: 4, u32: 4, i32: 4, f16: 2 }[name];
    if (size !== undefined) return size;
    const alias = this.names.get(name);
    if (alias === undefined) throw new Error(`tests/fuzz/wgsl.ts knows no type ${name}`);
    return this.sizeOf(alias);
  }

  get workgroupSize(): [number, number, number] {
    const text = /@workgroup_size\(([^)]*)\)/.exec(this.code)?.[1];
    const sizes = text!.split(',').map((part) => this.number(part));
    return [sizes[0]!, sizes[1] ?? 1, sizes[2] ?? 1];
  }

  /** Bytes of workgroup memory. */
  get workgroupMemory(): number {
    return [...this.code.matchAll(/var<workgroup> \w+: ([^;]+);/g)].reduce(
      (sum, [, type]) => sum + this.sizeOf(type!),
      0,
    );
  }

  /** By number. Those that the compiler declared, beside which a shader's own are not used; of an opaque kernel, its own. */
  get buffers(): BufferDeclaration[] {
    const pattern = /@binding\((\d+)\) var<storage, (read|read_write)> (\w+): ([^;]+);/g;
    const all = [...this.code.matchAll(pattern)];
    const compiled = all.filter(([, , , name]) => /^buffer\d+$/.test(name!));
    const declared = (compiled.length > 0 ? compiled : all).map(([, index, access, , type]) => ({
      index: Number(index),
      writable: access === 'read_write',
      type: type!,
      bytes: this.sizeOf(type!),
    }));
    return declared.sort((a, b) => a.index - b.index);
  }
}
