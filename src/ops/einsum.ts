// Einstein summation: any sum of products over named axes, as transposes, reshapes, matmuls and sums.
import { ShapeError } from '../errors.ts';
import { mul } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { sum } from './reduce.ts';
import { currentPath, show, sizeOf, type Tensor, where } from './tensor.ts';
import { broadcastTo, padTo, reshape, slice, transpose } from './view.ts';

/** A tensor and the letter of each of its axes. */
interface Labelled {
  readonly x: Tensor;
  readonly letters: readonly string[];
}

type Sizes = ReadonlyMap<string, number>;
const shapeOf = (letters: readonly string[], sizes: Sizes) => letters.map((letter) => sizes.get(letter)!);

/**
 * The sum of products that a spec names, as in NumPy and PyTorch: a letter for each axis, `bik,bkj->bij`. A letter that the
 * result lacks is summed over; one that an operand has twice takes its diagonal; `...` stands for leading axes, which
 * broadcast. Without `->`, the result has `...` and the letters that occur once, in alphabetical order. Operands are
 * contracted from left to right, two at a time, by matmul where that sums over anything.
 *
 * @throws ShapeError for a spec that does not fit the operands: it says which letter, which operand, which sizes
 */
export function einsum(spec: string, ...operands: Tensor[]): Tensor {
  const { inputs, output, sizes } = parse(spec, operands);
  const left = operands.map((x, i): Labelled => withoutRepeats(broadcastEllipsis(x, inputs[i]!, sizes), inputs[i]!));
  let result = left.shift()!;
  for (let next = left.shift(); ; next = left.shift()) {
    // What the result and the operands to come have no use for is summed over now.
    const later = new Set([...output, ...left.flatMap(({ letters }) => letters)]);
    if (!next) {
      const { x, letters } = summed(result, later);
      return ordered(x, letters, output);
    }
    const [a, b] = [result.letters, next.letters];
    result = contract(summed(result, new Set([...later, ...b])), summed(next, new Set([...later, ...a])), later, sizes);
  }
}

/** The letters of operands and result; axes of `...` are called by their place from the end: 1, 2, … */
function parse(spec: string, operands: readonly Tensor[]) {
  const fail = (problem: string) => new ShapeError(`${where(currentPath())}einsum '${spec}': ${problem}`);
  const match = /^((?:[A-Za-z]|\.{3}|,)*)(?:->((?:[A-Za-z]|\.{3})*))?$/.exec(spec.replaceAll(' ', ''));
  if (!match) throw fail("a spec is letters, commas and ..., as in 'bik,bkj->bij'");
  const terms = match[1]!.split(',');
  if (terms.length !== operands.length) throw fail(`it names ${terms.length} operands, and got ${operands.length}`);
  let dots = 0;
  const inputs = terms.map((term, i) => {
    const { shape } = operands[i]!;
    const [front, back, more] = term.split('...');
    const count = term.replaceAll('.', '').length;
    const extra = shape.length - count;
    if (more !== undefined || (back === undefined ? extra !== 0 : extra < 0)) {
      throw fail(`operand ${i} is ${show(shape)}, of ${shape.length} axes, and '${term}' names ${count}`);
    }
    dots = Math.max(dots, extra);
    return [...front!, ...ellipsis(extra), ...(back ?? '')];
  });
  const sizes = new Map<string, number>();
  inputs.forEach((letters, i) => {
    letters.forEach((letter, axis) => {
      const dim = operands[i]!.shape[axis]!;
      const known = sizes.get(letter) ?? dim;
      if (letter > '9' && known !== dim) {
        throw fail(`${letter} is ${known} and, in operand ${i}, ${show(operands[i]!.shape)}, ${dim}`);
      }
      if (known !== dim && known !== 1 && dim !== 1)
        throw fail(`what ... stands for does not broadcast: ${known}, ${dim}`);
      sizes.set(letter, known === 1 ? dim : known);
    });
  });
  const once = [...sizes.keys()].filter((letter) => letter > '9' && terms.join('').split(letter).length === 2).sort();
  const wanted = match[2] ?? `...${once.join('')}`;
  const [front, back = '', more] = wanted.split('...');
  const output = wanted.includes('...') ? [...front!, ...ellipsis(dots), ...back] : [...wanted];
  output.forEach((letter, i) => {
    if (!sizes.has(letter)) throw fail(`${letter} is in the result and in no operand`);
    if (output.indexOf(letter) !== i) throw fail(`${letter} is twice in the result`);
  });
  if (more !== undefined) throw fail('... is twice in the result');
  return { inputs, output, sizes };
}

const ellipsis = (count: number) => Array.from({ length: count }, (_, i) => String(count - i));

function broadcastEllipsis(x: Tensor, letters: readonly string[], sizes: Sizes): Tensor {
  return broadcastTo(x, shapeOf(letters, sizes));
}

/** The diagonal along each letter that comes twice. */
function withoutRepeats(x: Tensor, letters: readonly string[]): Labelled {
  const twice = letters.find((letter, i) => letters.indexOf(letter) !== i);
  if (twice === undefined) return { x, letters };
  const last = letters.lastIndexOf(twice);
  const first = letters.indexOf(twice);
  const rest = letters.map((_, i) => i).filter((i) => i !== first && i !== last);
  const lead = rest.map((i) => x.shape[i]!);
  const n = x.shape[first]!;
  // With n more elements a row is one longer, and the diagonal a column.
  const flat = reshape(transpose(x, [...rest, first, last]), [...lead, n * n]);
  const longer = padTo(
    flat,
    [...lead, n * (n + 1)],
    flat.shape.map(() => 0),
  );
  const column = slice(reshape(longer, [...lead, n, n + 1]), -1, 0, 1);
  return withoutRepeats(reshape(column, [...lead, n]), [...rest.map((i) => letters[i]!), twice]);
}

/** Summed over what is not kept. */
function summed({ x, letters }: Labelled, kept: ReadonlySet<string>): Labelled {
  const axis = [...letters.keys()].filter((i) => !kept.has(letters[i]!));
  return axis.length ? { x: sum(x, { axis }), letters: letters.filter((letter) => kept.has(letter)) } : { x, letters };
}

function ordered(x: Tensor, from: readonly string[], to: readonly string[]): Tensor {
  return to.every((letter, i) => letter === from[i])
    ? x
    : transpose(
        x,
        to.map((letter) => from.indexOf(letter)),
      );
}

/** The product of two, summed over the letters that they share and that are not kept. */
function contract(a: Labelled, b: Labelled, kept: ReadonlySet<string>, sizes: Sizes): Labelled {
  const shared = a.letters.filter((letter) => b.letters.includes(letter));
  const batch = shared.filter((letter) => kept.has(letter));
  const inner = shared.filter((letter) => !kept.has(letter));
  const rows = a.letters.filter((letter) => !shared.includes(letter));
  const columns = b.letters.filter((letter) => !shared.includes(letter));
  const letters = [...batch, ...rows, ...columns];
  const shape = shapeOf(letters, sizes);
  if (inner.length === 0) {
    const left = ordered(a.x, a.letters, [...batch, ...rows]);
    const right = ordered(b.x, b.letters, [...batch, ...columns]);
    const spread = [...shapeOf([...batch, ...rows], sizes), ...columns.map(() => 1)];
    const across = [...shapeOf(batch, sizes), ...rows.map(() => 1), ...shapeOf(columns, sizes)];
    return { x: mul(reshape(left, spread), reshape(right, across)), letters };
  }
  // The last axis stays the last, so that rows of memory are read as rows.
  const isInner = ({ letters }: Labelled) => inner.includes(letters.at(-1)!);
  const matrices = ({ x, letters: from }: Labelled, first: readonly string[], second: readonly string[]) =>
    reshape(ordered(x, from, [...batch, ...first, ...second]), [
      ...(batch.length ? [sizeOf(shapeOf(batch, sizes))] : []),
      sizeOf(shapeOf(first, sizes)),
      sizeOf(shapeOf(second, sizes)),
    ]);
  const [transposeA, transposeB] = [!isInner(a) && rows.length > 0, isInner(b)];
  const left = transposeA ? matrices(a, inner, rows) : matrices(a, rows, inner);
  const right = transposeB ? matrices(b, columns, inner) : matrices(b, inner, columns);
  return { x: reshape(matmul(left, right, { transposeA, transposeB }), shape), letters };
}
