// Runs in a worker: asks for a device of its own and answers with a product.
import { Gpu } from '../src/gpu/gpu.ts';
import { matmul } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { evaluate } from '../src/runtime/compile.ts';

const gpu = await Gpu.request();
const product = matmul(input('a', [2, 2]), input('b', [2, 2]));
const { c } = await evaluate(gpu, { c: product }, { a: Float32Array.of(1, 2, 3, 4), b: Float32Array.of(5, 6, 7, 8) });
gpu.destroy();
postMessage([...c]);
