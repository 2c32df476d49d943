// What the compiler makes of convolutions: nothing is transposed or unfolded in memory, and long sums are shared out.
import { describe, expect, test } from 'vitest';
import { gradients } from '../src/graph/autodiff.ts';
import { quotientOf } from '../src/graph/emit.ts';
import { fuse } from '../src/graph/fuse.ts';
import { type Graph, printGraph } from '../src/graph/graph.ts';
import { lower } from '../src/graph/lower.ts';
import { planMemory } from '../src/graph/memory.ts';
import { simplify } from '../src/graph/simplify.ts';
import { splitMatmuls } from '../src/graph/split.ts';
import { chooseVariants } from '../src/graph/variants.ts';
import { Conv2d } from '../src/nn/conv.ts';
import { ReLU, Sequential } from '../src/nn/layers.ts';
import { conv2d, convTranspose2d } from '../src/ops/conv.ts';
import { sigmoid, square } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { DEFAULT_LIMITS, type Tensor } from '../src/ops/tensor.ts';
import { reshape, transpose } from '../src/ops/view.ts';

const TRAITS = { software: true, subgroupSize: 4, f16: false, limits: DEFAULT_LIMITS };
const graphOf = (y: Tensor): Graph => ({ outputs: { y }, updates: [] });

describe('a convolution', () => {
  const kernels = (y: Tensor) => {
    const schedule = chooseVariants(fuse(simplify(graphOf(y))), TRAITS);
    const memory = planMemory(schedule);
    return schedule.groups.map((group) => lower(group, memory, TRAITS));
  };

  test('reads the patches through the product: what is stored is its weight in another order, and the result', () => {
    const layers = new Sequential(new Conv2d(8, 16, 3, { padding: 1 }), new ReLU(), new Conv2d(16, 8, 3), new ReLU());
    const made = kernels(layers.forward(input('x', [2, 8, 10, 10])));
    // The input and the result are channels-first at the API, hence a copy of one, and the last bias with that of the other.
    expect(made.map(({ label }) => label).sort()).toEqual([
      'add+relu',
      'copy',
      'copy',
      'copy',
      'matmul',
      'matmul+add+relu',
    ]);
    const patches = 2 * 10 * 10 * 9 * 8;
    expect(Math.max(...made.flatMap(({ group }) => group.outputs.map(({ size }) => size)))).toBeLessThan(patches / 4);
  });

  test('loads four channels at once, with one test of the bounds', () => {
    const made = kernels(conv2d(input('x', [2, 8, 10, 10]), input('w', [16, 8, 3, 3]), { padding: 1 }));
    const product = made.find(({ label }) => label === 'matmul')!;
    expect(product.hooks.load_a!.match(/= buffer\d+\[/g)).toHaveLength(1);
    expect(product.hooks.load_a!.match(/select\(/g)).toHaveLength(1);
  });

  test('with a kernel for each channel is one sum over taps, forward and backward: no matmul, and no patches in memory', () => {
    const [x, w] = [input('x', [2, 6, 6, 8]), input('w', [8, 1, 3, 3])];
    const last = (images: Tensor) => transpose(images, [0, 3, 1, 2]);
    const options = { groups: 8, stride: 2, padding: 1 } as const;
    const y = transpose(conv2d(last(x), w, options), [0, 2, 3, 1]);
    const labels = (of: Tensor) => kernels(of).map(({ label }) => label);
    expect(labels(y)).toEqual(['mul+sum']);
    const [dx, dw] = gradients(sum(square(y)), [x, w]);
    expect(labels(dx!).filter((label) => /matmul/.test(label))).toEqual([]);
    expect(labels(dx!).at(-1)).toMatch(/sumPatches/);
    expect(labels(dw!).filter((label) => /sum/.test(label))).toHaveLength(2);
    const images = Math.max(x.size, y.size);
    expect(Math.max(...kernels(dx!).flatMap(({ group }) => group.outputs.map(({ size }) => size)))).toBeLessThanOrEqual(
      images,
    );
    expect(Math.max(...kernels(dw!).flatMap(({ group }) => group.outputs.map(({ size }) => size)))).toBeLessThanOrEqual(
      images,
    );
  });

  test('of one channel stores its patches once, as the matmuls read them', () => {
    const x = sigmoid(sigmoid(input('x', [2, 1, 8, 8])));
    const made = kernels(conv2d(x, input('w', [8, 1, 3, 3]), { padding: 1 }));
    const stored = made.flatMap(({ group }) => group.outputs.map(({ size }) => size));
    const positions = 2 * 8 * 8;
    expect(stored.filter((size) => size === positions * 12)).toHaveLength(1);
    expect(stored).not.toContain(positions * 9);
  });

  test('back up is not written out again and again into the loop of a sum', () => {
    const images = convTranspose2d(input('x', [2, 8, 8, 8]), input('w', [8, 3, 3, 3]), { stride: 2 });
    const made = kernels(sum(square(reshape(images, [2, images.size / 2])), { axis: 1 }));
    const labels = made.map(({ label }) => label);
    expect(labels.filter((label) => label.includes('sumPatches'))).toHaveLength(1);
    expect(labels.filter((label) => /sumPatches.*sum$/.test(label))).toEqual([]);
  });

  test('says what does not fit', () => {
    const x = input('x', [2, 8, 10, 10]);
    expect(() => conv2d(x, input('w', [16, 4, 3, 3]))).toThrow(/conv2d: images \[2, 8, 10, 10\] have 8 channels/);
    expect(() => conv2d(x, input('w', [16, 8, 11, 3]))).toThrow(/does not fit into padded images/);
    expect(() => conv2d(x, input('w', [16, 8, 3, 3]), { stride: 0 })).toThrow(/stride \[0, 0\]/);
    expect(() => new Conv2d(8, 9, 3, { groups: 2 })).toThrow(/channels 8 and 9 must be whole multiples of groups 2/);
  });
});

test('a product of few results that sums over much becomes a stack, and a sum of fixed order', () => {
  const tn = matmul(input('a', [4096, 32]), input('b', [4096, 12]), { transposeA: true });
  const nt = matmul(input('a', [8, 4096]), input('b', [12, 4096]), { transposeB: true });
  for (const y of [tn, nt]) {
    const text = printGraph(splitMatmuls(graphOf(y), { software: true }));
    expect(text).toMatch(/matmul\(.*f32\[32, (32|8), 12\]/);
    expect(text).toMatch(/sum\(.*"axes":\[0\]/);
  }
  const large = graphOf(matmul(input('a', [512, 4096]), input('b', [4096, 512])));
  expect(printGraph(splitMatmuls(large, { software: true }))).toBe(printGraph(large));
});

test('division by a multiplication and a shift is exact', () => {
  for (const divisor of [3, 5, 6, 7, 9, 12, 28, 49, 196, 784, 1000, 65535]) {
    for (const max of [10, 1000, 12544, 65535, 2 ** 20, 2 ** 31]) {
      const text = quotientOf('x', max, divisor);
      const [, factor, shift] = /^\(x \* (\d+)u\) >> (\d+)u$/.exec(text) ?? [];
      if (factor === undefined) {
        expect(text).toBe(`x / ${divisor}u`);
        expect(max * divisor).toBeGreaterThan(2 ** 16);
        continue;
      }
      expect(max * Number(factor)).toBeLessThan(2 ** 32);
      // Where a quotient may be wrong first: just before, and at, multiples of the divisor.
      for (let x = 0; x <= max; x += divisor * Math.max(1, Math.floor(max / divisor / 1e4))) {
        for (const at of [x, x - 1].filter((value) => value >= 0)) {
          const quotient = Math.floor((at * Number(factor)) / 2 ** Number(shift));
          if (quotient !== Math.floor(at / divisor)) expect.fail(`${at} / ${divisor} by ${text} gave ${quotient}`);
        }
      }
    }
  }
  expect(quotientOf('x', 100, 8)).toBe('x >> 3u');
});
