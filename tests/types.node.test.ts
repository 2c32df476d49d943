// What TypeScript knows of a program from the argument of `compile`: names, element types and arrays of outputs and inputs.
import { expectTypeOf, test } from 'vitest';
import {
  add,
  argmax,
  compile,
  defineOp,
  evaluate,
  exp,
  type Gpu,
  input,
  matmul,
  mean,
  mul,
  type Outputs,
  type Program,
  square,
  type Tensor,
  toF16,
} from '../src/index.ts';

const gpu = {} as Gpu;

/** Never called: only its types are of interest. */
async function typed() {
  const x = input('x', [8, 4]);
  const labels = input('labels', [8], 'u8');
  const y = matmul(x, input('w', [4, 3]));
  const outputs = {
    loss: mean(square(y)),
    best: argmax(y),
    half: toF16(exp(y)),
    labels,
    twice: mul(labels, 2),
    sum: add(1, y),
  };
  const program = await compile(gpu, { outputs, updates: [] });
  expectTypeOf(program.read('loss')).toEqualTypeOf<Promise<Float32Array>>();
  expectTypeOf(program.read('sum')).toEqualTypeOf<Promise<Float32Array>>();
  expectTypeOf(program.read('best')).toEqualTypeOf<Promise<Uint32Array>>();
  expectTypeOf(program.read('half')).toEqualTypeOf<Promise<Uint16Array>>();
  expectTypeOf(program.read('labels')).toEqualTypeOf<Promise<Uint32Array>>();
  expectTypeOf(program.read('twice')).toEqualTypeOf<Promise<Uint32Array>>();
  // @ts-expect-error there is no such output
  program.read('lose');
  // @ts-expect-error there is no such output
  program.run({}, { outputs: { lose: {} as GPUBuffer } });
  // @ts-expect-error it has a name, and would be a number
  program.outputRange(3);

  const known = await compile(gpu, { outputs, inputs: [x, labels] });
  known.run({ x: new Float32Array(32), labels: new Uint8Array(8) });
  known.run({ x: {} as GPUBuffer, labels: new Uint8Array(8) }, { steps: 2 });
  // @ts-expect-error labels are bytes
  known.run({ x: new Float32Array(32), labels: new Float32Array(8) });
  // @ts-expect-error labels are missing
  known.run({ x: new Float32Array(32) });
  // @ts-expect-error there is no input z
  known.run({ x: new Float32Array(32), labels: new Uint8Array(8), z: new Float32Array(1) });

  const values = await evaluate(gpu, { best: argmax(y), y }, {});
  expectTypeOf(values).toEqualTypeOf<{ best: Uint32Array; y: Float32Array }>();

  // Names that are not known until it runs, and programs of any kind.
  const named: Record<string, Tensor> = { a: y };
  const any = await compile(gpu, { outputs: named });
  expectTypeOf(await any.read('whatever')).toEqualTypeOf<Float32Array | Uint32Array | Uint16Array>();
  const list: Program[] = [program, known, any];
  const described: Outputs = outputs;
  let h = x;
  h = exp(h);
  return [list, described, h];
}

/** A mistake in an op is told where it stands, once: never called. */
function mistaken() {
  const infer = ([x]: readonly Tensor[]) => ({ shape: x!.shape, dtype: 'f32' }) as const;
  defineOp({
    name: 'byKernel',
    infer,
    kernel: {
      wgsl: '',
      inputs: ['x'],
      outputs: ['y'],
      // @ts-expect-error x may be undefined
      constants: ({ inputs: [x] }) => ({ SIZE: x.size }),
      workgroups: () => 1,
    },
    grad: ({ inputs: [x] }, g) => [mul(x!, g)],
  });
  // @ts-expect-error a misspelt option of a pointwise op
  defineOp({ name: 'pointwise', wgsl: (x) => `${x} + 1.0`, grad: (g, [x]) => [mul(g, x!)], flop: 3 });
  const composite = defineOp<{ by: number }>({
    name: 'composite',
    decompose: ([x], { by }) => mul(x!, by),
    // @ts-expect-error it has no attribute but
    grad: ({ attrs }, g) => [mul(g, attrs.but)],
  });
  // What is spread into a definition is of no form that TypeScript sees.
  const spec = { name: 'spread', infer, kernel: { wgsl: '', inputs: ['x'], outputs: ['y'], workgroups: () => 1 } };
  return [composite, defineOp({ ...spec, check: { reference: ([x]) => x!.data, samples: [] } })];
}

test('outputs and inputs of a program are typed by what compile was given', () => {
  expectTypeOf(typed).toBeFunction();
  expectTypeOf(mistaken).toBeFunction();
});
