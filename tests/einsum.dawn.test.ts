// Matmuls of any rank and Einstein summation against float64, forward and backward, on lavapipe in Node.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { einsum } from '../src/ops/einsum.ts';
import { mul } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { type Shape, scope, sizeOf, stridesOf, type Tensor } from '../src/ops/tensor.ts';
import { compile } from '../src/runtime/compile.ts';
import { randomFrom } from './numbers.ts';

/** Every sum of products by a loop over all letters; an axis of size 1 broadcasts. */
function reference(terms: string[], output: string, shapes: Shape[], data: ArrayLike<number>[]) {
  const dims = new Map<string, number>();
  terms.forEach((term, i) => {
    [...term].forEach((letter, axis) => {
      dims.set(letter, Math.max(dims.get(letter) ?? 0, shapes[i]![axis]!));
    });
  });
  // Nothing, where an axis is empty.
  const letters = [...new Set([...output, ...terms.join('')])];
  const sizes = letters.map((letter) => dims.get(letter)!);
  const outShape = [...output].map((letter) => dims.get(letter)!);
  const flat = (term: string, shape: Shape, at: number[]) => {
    const strides = stridesOf(shape);
    return [...term].reduce((s, c, axis) => s + (shape[axis] === 1 ? 0 : at[letters.indexOf(c)]! * strides[axis]!), 0);
  };
  const result = new Float64Array(sizeOf(outShape));
  const strides = stridesOf(sizes);
  for (let n = 0; n < sizeOf(sizes); n++) {
    const at = sizes.map((size, i) => Math.floor(n / strides[i]!) % size);
    let product = 1;
    for (const [i, term] of terms.entries()) product *= data[i]![flat(term, shapes[i]!, at)]!;
    result[flat(output, outShape, at)]! += product;
  }
  return { shape: outShape, data: result };
}

const missing = inject('withoutLavapipe');

describe.skipIf(missing)('on lavapipe', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  async function check(
    build: (...x: Tensor[]) => Tensor,
    terms: string[],
    output: string,
    shapes: Shape[],
    shape: Shape,
  ) {
    const random = randomFrom(7);
    const draw = (size: number) => Float32Array.from({ length: size }, () => random() * 2 - 1);
    const data = shapes.map((shape) => draw(sizeOf(shape)));
    const inputs = shapes.map((shape, i) => input(`x${i}`, shape));
    const y = build(...inputs);
    expect(y.shape).toEqual(shape);
    const expected = reference(terms, output, shapes, data);
    const g = draw(y.size);
    const slopes = gradients(sum(mul(y, input('g', y.shape))), inputs);
    const outputs: Record<string, Tensor> = { y, ...Object.fromEntries(slopes.map((slope, i) => [`d${i}`, slope])) };
    // The smallest kernels compile fastest, and what is tested here is how operands come to them.
    const program = await compile(gpu, { outputs }, { chooseVariant: (_, possible) => possible.at(-1)! });
    program.run({ ...Object.fromEntries(data.map((values, i) => [`x${i}`, values])), g });
    const near = (name: string, got: ArrayLike<number>, want: ArrayLike<number>) => {
      expect(got.length).toBe(want.length);
      for (let i = 0; i < want.length; i++) expect(Math.abs(got[i]! - want[i]!), `${name}[${i}]`).toBeLessThan(2e-4);
    };
    near('y', (await program.read('y')) as Float32Array, expected.data);
    // Linear in each operand: a difference over 1 is the slope.
    const at = (values: ArrayLike<number>[]) =>
      reference(terms, output, shapes, values).data.reduce((total, value, i) => total + value * g[i]!, 0);
    const base = at(data);
    for (const [i, values] of data.entries()) {
      const got = (await program.read(`d${i}`)) as Float32Array;
      expect(got.length).toBe(values.length);
      for (let probe = 0; probe < Math.min(12, values.length); probe++) {
        const index = (probe * 37) % values.length;
        const moved = Float64Array.from(values);
        moved[index]! += 1;
        const slope = at(data.map((other, j) => (j === i ? moved : other))) - base;
        expect(Math.abs(got[index]! - slope), `d${i}[${index}]`).toBeLessThan(1e-3);
      }
    }
    program.destroy();
  }

  test.each<[Shape, Shape, [string, string, string], Shape]>([
    [[7], [7], ['k', 'k', ''], []],
    [[7], [7, 5], ['k', 'kn', 'n'], [5]],
    [[5, 7], [7], ['mk', 'k', 'm'], [5]],
    [[3, 5, 7], [7], ['bmk', 'k', 'bm'], [3, 5]],
    [[7], [3, 7, 5], ['k', 'bkn', 'bn'], [3, 5]],
    [
      [3, 5, 7],
      [7, 6],
      ['bmk', 'kn', 'bmn'],
      [3, 5, 6],
    ],
    [
      [5, 7],
      [3, 7, 6],
      ['mk', 'bkn', 'bmn'],
      [3, 5, 6],
    ],
    [
      [2, 3, 5, 8],
      [2, 3, 8, 4],
      ['abmk', 'abkn', 'abmn'],
      [2, 3, 5, 4],
    ],
    [
      [2, 1, 5, 8],
      [3, 8, 4],
      ['abmk', 'bkn', 'abmn'],
      [2, 3, 5, 4],
    ],
    [
      [2, 3, 5, 8],
      [2, 1, 8, 4],
      ['abmk', 'abkn', 'abmn'],
      [2, 3, 5, 4],
    ],
    [
      [3, 5, 8],
      [2, 1, 8, 4],
      ['bmk', 'abkn', 'abmn'],
      [2, 3, 5, 4],
    ],
    [
      [1, 5, 8],
      [3, 8, 4],
      ['bmk', 'bkn', 'bmn'],
      [3, 5, 4],
    ],
    [
      [3, 5, 8],
      [1, 8, 4],
      ['bmk', 'bkn', 'bmn'],
      [3, 5, 4],
    ],
    [
      [1, 1, 5, 8],
      [8, 4],
      ['abmk', 'kn', 'abmn'],
      [1, 1, 5, 4],
    ],
    [
      [0, 5, 8],
      [8, 4],
      ['bmk', 'kn', 'bmn'],
      [0, 5, 4],
    ],
    [
      [2, 3, 5, 0],
      [0, 4],
      ['abmk', 'kn', 'abmn'],
      [2, 3, 5, 4],
    ],
  ])('matmul of %j and %j', (a, b, [left, right, output], shape) =>
    check((x, y) => matmul(x!, y!), [left, right], output, [a, b], shape),
  );

  test.each<[Shape, Shape, boolean, boolean, [string, string, string], Shape]>([
    [[2, 3, 8, 5], [8, 4], true, false, ['abkm', 'kn', 'abmn'], [2, 3, 5, 4]],
    [[2, 3, 5, 8], [3, 4, 8], false, true, ['abmk', 'bnk', 'abmn'], [2, 3, 5, 4]],
    [[8, 5], [2, 3, 4, 8], true, true, ['km', 'abnk', 'abmn'], [2, 3, 5, 4]],
    [[3, 8, 5], [8], true, true, ['bkm', 'k', 'bm'], [3, 5]],
  ])('matmul of %j and %j, stored transposed: %s, %s', (a, b, transposeA, transposeB, [left, right, output], shape) =>
    check((x, y) => matmul(x!, y!, { transposeA, transposeB }), [left, right], output, [a, b], shape),
  );

  test.each<[string, Shape[], string, Shape]>([
    [
      'ij,jk->ik',
      [
        [5, 7],
        [7, 6],
      ],
      'ij,jk->ik',
      [5, 6],
    ],
    [
      'ij,jk->ki',
      [
        [5, 7],
        [7, 6],
      ],
      'ij,jk->ki',
      [6, 5],
    ],
    [
      'ij,jk',
      [
        [5, 7],
        [7, 6],
      ],
      'ij,jk->ik',
      [5, 6],
    ],
    ['ba', [[5, 7]], 'ba->ab', [7, 5]],
    ['ij->', [[5, 7]], 'ij->', []],
    ['ii', [[5, 5]], 'ii->', []],
    ['ii->i', [[5, 5]], 'ii->i', [5]],
    [
      'bji,iji->bj',
      [
        [2, 3, 5],
        [5, 3, 5],
      ],
      'bji,iji->bj',
      [2, 3],
    ],
    ['iii->i', [[4, 4, 4]], 'iii->i', [4]],
    ['i,j->ij', [[5], [7]], 'i,j->ij', [5, 7]],
    ['i,i', [[9], [9]], 'i,i->', []],
    [
      'ij,ij->ij',
      [
        [5, 7],
        [5, 7],
      ],
      'ij,ij->ij',
      [5, 7],
    ],
    [
      'bhqd,bhkd->bhqk',
      [
        [2, 3, 5, 8],
        [2, 3, 6, 8],
      ],
      'bhqd,bhkd->bhqk',
      [2, 3, 5, 6],
    ],
    [
      'bqhd,bkhd->bhqk',
      [
        [2, 5, 3, 8],
        [2, 6, 3, 8],
      ],
      'bqhd,bkhd->bhqk',
      [2, 3, 5, 6],
    ],
    [
      'bhqk,bkhd->bqhd',
      [
        [2, 3, 5, 6],
        [2, 6, 3, 8],
      ],
      'bhqk,bkhd->bqhd',
      [2, 5, 3, 8],
    ],
    [
      'ki,kj->ij',
      [
        [9, 5],
        [9, 7],
      ],
      'ki,kj->ij',
      [5, 7],
    ],
    [
      'abc,cbd->ad',
      [
        [3, 4, 5],
        [5, 4, 6],
      ],
      'abc,cbd->ad',
      [3, 6],
    ],
    [
      'ijx,jk->ik',
      [
        [3, 4, 2],
        [4, 5],
      ],
      'ijx,jk->ik',
      [3, 5],
    ],
    [
      'ij,jk,kl->il',
      [
        [3, 4],
        [4, 5],
        [5, 6],
      ],
      'ij,jk,kl->il',
      [3, 6],
    ],
    [
      'bn,anm,bm->ba',
      [
        [2, 5],
        [3, 5, 4],
        [2, 4],
      ],
      'bn,anm,bm->ba',
      [2, 3],
    ],
    [
      '...ij,jk->...ik',
      [
        [2, 3, 4, 5],
        [5, 6],
      ],
      'abij,jk->abik',
      [2, 3, 4, 6],
    ],
    [
      '...ij,...jk',
      [
        [2, 1, 4, 5],
        [3, 5, 6],
      ],
      'abij,bjk->abik',
      [2, 3, 4, 6],
    ],
    [
      'i ..., i... -> ...',
      [
        [4, 2, 3],
        [4, 3],
      ],
      'iab,ib->ab',
      [2, 3],
    ],
    ['...,j->j', [[], [5]], ',j->j', [5]],
  ])('einsum %s of %j', (spec, shapes, full, shape) => {
    const [left, output] = full.split('->') as [string, string];
    return check((...x) => einsum(spec, ...x), left.split(','), output, shapes, shape);
  });
});

describe('refused', () => {
  const x = (...shape: number[]) => input('x', shape);
  test.each<[string, Tensor[], string]>([
    ['ij,jk->il', [x(2, 3), x(3, 4)], 'l is in the result and in no operand'],
    ['ij,jk->ik', [x(2, 3)], 'it names 2 operands, and got 1'],
    ['ij,jk->ik', [x(2, 3), x(4, 4)], 'j is 3 and, in operand 1, [4, 4], 4'],
    ['ij,jk->ik', [x(2, 3), x(3)], "operand 1 is [3], of 1 axes, and 'jk' names 2"],
    ['...ijk->', [x(2, 3)], "operand 0 is [2, 3], of 2 axes, and '...ijk' names 3"],
    ['ii->i', [x(2, 3)], 'i is 2 and, in operand 0, [2, 3], 3'],
    ['ij->ii', [x(2, 2)], 'i is twice in the result'],
    ['i1->i', [x(2, 2)], "a spec is letters, commas and ..., as in 'bik,bkj->bij'"],
    ['...i,...i', [x(2, 3), x(4, 3)], 'what ... stands for does not broadcast: 2, 4'],
    ['......->', [x(2)], "operand 0 is [2], of 1 axes, and '......' names 0"],
  ])('einsum %s', (spec, operands, problem) => {
    expect(() => scope('head', () => einsum(spec, ...operands))).toThrow(`head: einsum '${spec}': ${problem}`);
  });

  test('matmul names the operands as they are', () => {
    const error = (a: Tensor, b: Tensor) => () => scope('head', () => matmul(a, b));
    expect(error(x(2, 3, 4, 5), x(6, 7))).toThrow('head: matmul: inner sizes differ in [4, 5] · [6, 7]: 5 and 6');
    expect(error(x(2, 3, 4, 5), x(2, 5, 7))).toThrow('head: matmul: shapes [2, 3] and [2] do not broadcast');
    expect(error(x(), x(2))).toThrow('head: matmul: wants one axis or more, got [] and [2]');
  });
});
