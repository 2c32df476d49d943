// Shaders are files that compile as they stand; specialisation replaces constants and hooks by name, unrolls, and no more.
import { describe, expect, test } from 'vitest';
import { readShaders } from '../src/cli/shaders.ts';
import { ShaderError } from '../src/errors.ts';
import { include } from '../src/gpu/include.ts';
import { Declarations, neededBy } from '../src/gpu/library.ts';
import { specialise } from '../src/gpu/specialise.ts';

const SHADER = `// A header.
const SIZE: u32 = 8;
const FLAG: bool = false;

fn hook(x: f32) -> f32 {
  return x;
}

@compute @workgroup_size(SIZE)
fn main() {
  for (var i = 0u; i < SIZE / 4u; i++) { // unroll
    for (var j = 0u; j < 2u; j++) { // unroll
      y[i * 2u + j] = hook(x[j]);
    }
  }
}
`;

const LIBRARY = `fn inner(x: f32) -> f32 {
  return x;
}

/// Calls the other.
fn outer(x: f32) -> f32 {
  return inner(x) + 1.0;
}

fn unused() {}
`;

test('nothing changes but what is named', () => {
  const text = specialise(SHADER, { constants: { SIZE: 4, FLAG: true } });
  expect(text).toContain('const SIZE: u32 = 4;');
  expect(text).toContain('const FLAG: bool = true;');
  expect(text).toContain('fn hook(x: f32) -> f32 {\n  return x;\n}');
});

test('a hook gets a body, with the functions that it calls and those that they call', () => {
  const text = specialise(SHADER, {
    hooks: { hook: '\n  return outer(x);' },
    functions: neededBy('outer(x)', LIBRARY).map(([, text]) => text),
  });
  expect(text).toContain('fn hook(x: f32) -> f32 {\n  return outer(x);\n}');
  expect(text.indexOf('fn inner')).toBeLessThan(text.indexOf('fn outer'));
  expect(text).not.toContain('unused');
});

test('two functions of one name are two functions', () => {
  const declarations = new Declarations();
  expect(declarations.use('outer(v1.x)', LIBRARY)).toBe('outer(v1.x)');
  expect(declarations.use('outer(v2)', LIBRARY)).toBe('outer(v2)');
  const other = 'fn inner(x: f32) -> f32 { return -x; }\nfn x() {}\nfn outer2(a: f32) -> f32 { return inner(a); }';
  expect(declarations.use('outer2(v1.x)', other)).toBe('outer2_1(v1.x)');
  expect(declarations.all).toEqual([
    'fn inner(x: f32) -> f32 {\n  return x;\n}',
    'fn outer(x: f32) -> f32 {\n  return inner(x) + 1.0;\n}',
    'fn inner_1(x_1: f32) -> f32 { return -x_1; }',
    'fn x_1() {}',
    'fn outer2_1(a: f32) -> f32 { return inner_1(a); }',
  ]);
});

test('marked loops are written out, inner ones too', () => {
  const text = specialise(SHADER, {});
  expect(text).not.toContain('for (');
  for (const i of [0, 1]) for (const j of [0, 1]) expect(text).toContain(`y[${i}u * 2u + ${j}u] = hook(x[${j}u]);`);
});

test('of a choice between constants only what is taken stays', () => {
  const choices = `const FLAG: bool = false;
const KIND: u32 = 2;
const SIGNED: i32 = 5i;
fn main() {
  if (FLAG) { a(); }
  if (KIND == 0u) {
    b();
  } else if (KIND == 2u) {
    if (FLAG) { c(); } else { d(); }
  } else {
    e();
  }
  if (x == 2u) { f(); } else if (FLAG) { g(); }
}
`;
  const calls = (constants: Record<string, number | boolean>) =>
    [...specialise(choices, { constants }).matchAll(/(\w)\(\);/g)].map(([, name]) => name).join('');
  expect(calls({})).toBe('df');
  expect(calls({ FLAG: true })).toBe('acfg');
  expect(calls({ KIND: 0 })).toBe('bf');
  expect(calls({ KIND: 1 })).toBe('ef');
  const open = 'fn main() {\n  if (KIND == x) { a(); }\n  if (SIGNED == 5i) { b(); }\n  if (FLAG == x) { c(); }\n}';
  const unknown = choices.slice(0, choices.indexOf('fn main')) + open;
  expect(specialise(unknown, {}), 'what only the driver can tell is left').toContain(open);
});

test('directives come before declarations', () => {
  const text = specialise(`enable subgroups;\n${SHADER}`, { declarations: 'var<private> a: u32;' });
  expect(text.indexOf('enable subgroups;')).toBe(0);
  expect(text.match(/enable/g)).toHaveLength(1);
});

test('a shuffle from a lane that unrolling makes known becomes a broadcast', () => {
  const shader = `const S: u32 = 4;
fn main() {
  for (var i = 0u; i < 2u; i++) { // unroll
    let a = subgroupShuffle(mine[i / S], i % S);
  }
  let b = subgroupShuffle(x, lane);
}`;
  const text = specialise(shader, {});
  expect(text).toContain('let a = subgroupBroadcast(mine[1u / S], 1u % S);');
  expect(text).toContain('let b = subgroupShuffle(x, lane);');
});

describe('what is not there is an error', () => {
  test.each([
    [{ constants: { WIDTH: 1 } }, /no constant WIDTH/],
    [{ constants: { SIZE: 1.5 } }, /constant SIZE is u32, got 1.5/],
    [{ hooks: { load: '' } }, /no hook load/],
    [{ functions: ['fn hook() {}'] }, /the kernel declares hook itself/],
  ])('%j', (what, message) => {
    expect(() => specialise(SHADER, what as object)).toThrow(ShaderError);
    expect(() => specialise(SHADER, what as object)).toThrow(message);
  });

  test('a loop that cannot be unrolled', () => {
    const shader = 'fn main() {\n  for (var i = 0u; i < count; i++) { // unroll\n  }\n}';
    expect(() => specialise(shader, {})).toThrow(/cannot unroll up to «count»/);
  });
});

describe('the variable of a loop that is written out', () => {
  const loop = (body: string) => `fn main() {
  for (var r = 0u; r < 2u; r++) { // unroll
    ${body}
  }
}`;

  test('is replaced where it stands for itself, and not where a component has its name', () => {
    const text = specialise(loop('total.r += color.r * f32(r) + row;'), {});
    for (const r of [0, 1]) expect(text).toContain(`total.r += color.r * f32(${r}u) + row;`);
  });

  test('may not be declared again within', () => {
    expect(() => specialise(loop('let r = 3u;'), {})).toThrow('the loop over r: it declares another r');
  });
});

test('a shader has the texts that it includes in place of the lines that name them, and these have theirs', () => {
  const source = 'fn f() {\n  // include step\n}\n';
  const text = include(source, { step: 'let a = 1;\n// include more\n', more: 'let b = a;\n' });
  expect(text).toBe('fn f() {\n  let a = 1;\n  let b = a;\n}\n');
  expect(() => include(source, {})).toThrow(new ShaderError('the shader includes step, and is not given it'));
});

test('what the shaders of this project include is there, and none includes another shader', () => {
  for (const { path, code, lines } of readShaders()) {
    expect(code.split('\n')).toHaveLength(lines.length);
    expect(code, path).not.toMatch(/^\s*\/\/ include /m);
  }
});
