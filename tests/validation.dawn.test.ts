// Unverified variants on lavapipe: one that is wrong in one form gives way there and nowhere else, what takes its place is
// checked too, and the program says so.

import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { relu } from '../src/ops/elementwise.ts';
import { variantsOf } from '../src/ops/kernels_all.ts';
import { type MatmulAttrs, matmulOp } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { apply, type KernelWriter, type Op, type Tensor, type Variant } from '../src/ops/tensor.ts';
import { slice } from '../src/ops/view.ts';
import { compile } from '../src/runtime/compile.ts';
import { CheckError, checkOp } from '../src/testing/check_op.ts';
import { errorOf, randomFrom, randomValues } from './numbers.ts';

const missing = inject('withoutLavapipe');

const plain = matmulOp.variants!.at(-1)! as Variant<MatmulAttrs>;

/** An unverified variant that leaves out the last four terms of a sum, in some forms. */
function wrongWhere(name: string, isWrong: (node: Tensor<MatmulAttrs>, writer: KernelWriter) => boolean) {
  const variant: Variant<MatmulAttrs> = {
    ...{ name, unverified: true, probe: variantsOf(matmulOp).find(({ probe }) => probe)!.probe! },
    kernel(node, writer) {
      const kernel = plain.kernel(node, writer);
      const K = Number(kernel.constants.K) - (isWrong(node, writer) ? 4 : 0);
      return { ...kernel, constants: { ...kernel.constants, K } };
    },
  };
  return variant;
}

const isTransposed = ({ attrs }: Tensor<MatmulAttrs>) => attrs.transposeB;
const matmulBy = (...variants: Variant<MatmulAttrs>[]): Op<MatmulAttrs> => ({
  ...matmulOp,
  variants: [...variants, plain],
});
const times = (op: Op<MatmulAttrs>, a: Tensor, b: Tensor, transposeB = false) =>
  apply(op, [a, b], { transposeA: false, transposeB });

const shapes = { a: [12, 20], b: [20, 24], c: [24, 20] };
const [a, b, c] = Object.entries(shapes).map(([name, shape]) => input(name, shape)) as [Tensor, Tensor, Tensor];
const random = randomFrom(11);
const data = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, randomValues({ shape }, random)]));

describe.skipIf(missing)('unverified variants on lavapipe', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  /** Runs an output, and the same by the plain variant alone. */
  async function compare(make: (op: Op<MatmulAttrs>) => Tensor, op: Op<MatmulAttrs>) {
    using program = await compile(gpu, { outputs: { y: make(op) } });
    using sound = await compile(gpu, { outputs: { y: make(matmulBy()) } });
    const given = Object.fromEntries([...program.inputs.keys()].map((name) => [name, data[name]!]));
    program.run(given);
    sound.run(given);
    expect(errorOf(await program.read('y'), await sound.read('y'))).toBeLessThan(1e-6);
    return { variant: program.dispatches.at(-1)!.kernel.variant, warnings: program.warnings };
  }

  const forms: Record<string, (op: Op<MatmulAttrs>) => Tensor> = {
    bare: (op) => times(op, a, b),
    transposed: (op) => times(op, a, c, true),
    'read through a view': (op) => times(op, slice(a, 0, 2, 8), b),
    fused: (op) => relu(times(op, a, b)),
  };
  const isView = ({ inputs: [x] }: Tensor) => x!.op.traits?.view === true;

  test.each([
    ['transposed', isTransposed],
    ['read through a view', isView],
    // What is fused behind makes the hook longer than one statement.
    ['fused', (_: Tensor, writer: KernelWriter) => !writer.storesBare],
  ] as const)(
    'one that is wrong where it is %s gives way there alone, and the program says so',
    async (form, isWrong) => {
      const op = matmulBy(wrongWhere('fast', isWrong));
      for (const [name, make] of Object.entries(forms)) {
        const { variant, warnings } = await compare(make, op);
        expect(variant, name).toBe(name === form ? plain.name : 'fast');
        expect(warnings, name).toHaveLength(name === form ? 1 : 0);
        if (name === form)
          expect(warnings[0]).toMatch(
            /llvmpipe.* computes matmul by fast wrongly \(.*\): register tile 4×4 takes its place/,
          );
      }
    },
  );

  test('what takes its place is checked, too, and for these groups alone', async () => {
    const op = matmulBy(
      wrongWhere('first', isTransposed),
      wrongWhere('second', () => true),
    );
    const y = times(op, times(op, a, b), input('d', [20, 24]), true);
    using program = await compile(gpu, { outputs: { y } });
    expect(program.dispatches.map(({ kernel }) => kernel.variant)).toEqual(['first', plain.name]);
    expect(program.warnings.map((line) => /by (\w+) wrongly.*: (.*) takes/.exec(line)!.slice(1))).toEqual([
      ['first', 'second'],
      ['second', plain.name],
    ]);
  });

  test.each([
    ['right', () => false, 'fast'],
    ['wrong', isTransposed, plain.name],
    ['wrong through a view', isView, plain.name],
  ] as const)('of a large group, something small of its form is tried: %s', async (_, isWrong, expected) => {
    const op = matmulBy(wrongWhere('fast', isWrong));
    const large = slice(input('large', [1028, 2048]), 0, 3, 1024);
    const y = relu(times(op, large, input('b', [1024, 2048]), true));
    const made: number[] = [];
    const create = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (descriptor) => {
      if (descriptor.label?.startsWith('validation')) made.push(descriptor.size);
      return create(descriptor);
    };
    try {
      using program = await compile(gpu, { outputs: { y } });
      expect(program.dispatches.map(({ kernel }) => kernel.variant)).toEqual([expected]);
    } finally {
      gpu.createBuffer = create;
    }
    expect(made.length).toBeGreaterThan(0);
    expect(Math.max(...made)).toBeLessThan(100_000);
  });

  test('one that the driver refuses gives way', async () => {
    const refused: Variant<MatmulAttrs> = {
      ...{ name: 'refused', unverified: true },
      kernel: (node, writer) => {
        const kernel = plain.kernel(node, writer);
        return { ...kernel, source: kernel.source.replace('fn main(', 'fn main(@builtin(nothing) x: u32, ') };
      },
    };
    const { variant, warnings } = await compare((op) => times(op, a, b), matmulBy(refused));
    expect(variant).toBe(plain.name);
    expect(warnings).toHaveLength(1);
  });

  test('checkOp checks the variant that it is asked for, unverified or not', async () => {
    const wrong = wrongWhere('wrong', isTransposed);
    const op = matmulBy(wrong);
    const sample = (transposeB: boolean) => [
      {
        inputs: [{ shape: [8, 12] }, { shape: transposeB ? [16, 12] : [12, 16] }],
        attrs: { transposeA: false, transposeB },
      },
    ];
    await checkOp(gpu, op, sample(false), { variant: wrong as Variant });
    await expect(checkOp(gpu, op, sample(true), { variant: wrong as Variant })).rejects.toThrow(CheckError);
    await checkOp(gpu, op, sample(true));
  });
});
