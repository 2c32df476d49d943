// The ops of text and of likelihoods, as the evaluator knows them: norms of rows, attention, recurrent units and the gradients of both,
// rotary positions, rows of a table, bytes under logistic distributions.
import type { AttentionAttrs } from '../../src/ops/attention_reference.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import type { Computed } from './kernels.ts';
import { coordsOf, type Sampled, sizeOf } from './values.ts';

type Kernel = (inputs: readonly Sampled[], node: Tensor) => Computed | readonly Computed[];

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

/** y = (x − mean) / √(variance + ε) · weight + bias of each row, and [mean, 1 / √…]; without a mean, the root of mean squares. */
function rowNorm(centred: boolean): Kernel {
  return ([x, weight, bias], node) => {
    const [rows, width] = x!.shape as [number, number];
    const { epsilon } = node.attrs as { epsilon: number };
    const y = emptied(rows * width);
    const stats = emptied(2 * rows);
    for (const row of range(rows)) {
      const values = range(width).map((i) => x!.data[row * width + i]!);
      const mean = centred ? total(values) / width : 0;
      const spread = total(values.map((value) => (value - mean) ** 2)) / width + epsilon;
      const scale = 1 / Math.sqrt(spread);
      const reach = Math.max(...values.map(Math.abs));
      // How many times over the rounding of the elements shows in the variance.
      const steep = 1 + (4 * reach * reach) / spread;
      put(stats, 2 * row, mean, 2 * reach);
      put(stats, 2 * row + 1, scale, 4 * scale * steep);
      values.forEach((value, i) => {
        const [w, b] = [weight!.data[i]!, bias?.data[i] ?? 0];
        const distance = Math.abs(value - mean);
        const size = 8 * (reach + distance * steep) * scale * Math.abs(w) + Math.abs(b);
        put(y, row * width + i, (value - mean) * scale * w + b, size);
      });
    }
    return [y, stats];
  };
}

/** ∂/∂x of Σ g · y, the rows' statistics being functions of x. */
function rowNormGradient(centred: boolean): Kernel {
  return ([x, weight, stats, g]) => {
    const [rows, width] = x!.shape as [number, number];
    const dx = emptied(rows * width);
    for (const row of range(rows)) {
      const [mean, scale] = [stats!.data[2 * row]!, stats!.data[2 * row + 1]!];
      const at = (i: number) => row * width + i;
      const slopes = range(width).map((i) => g!.data[at(i)]! * weight!.data[i]!);
      const normed = range(width).map((i) => (x!.data[at(i)]! - mean) * scale);
      const large = range(width).map((i) => (Math.abs(x!.data[at(i)]!) + Math.abs(mean)) * Math.abs(scale));
      const level = centred ? total(slopes) / width : 0;
      const along = total(slopes.map((slope, i) => slope * normed[i]!)) / width;
      const sizes = slopes.map(Math.abs);
      const shared = total(sizes.map((size, i) => size * large[i]!)) / width;
      slopes.forEach((slope, i) => {
        const size = sizes[i]! + (centred ? total(sizes) / width : 0) + 2 * large[i]! * shared;
        put(dx, at(i), scale * (slope - level - normed[i]! * along), 4 * Math.abs(scale) * size);
      });
    }
    return dx;
  };
}

interface Terms extends Computed {
  readonly terms: Float64Array;
}

const emptied = (size: number): Terms => ({ data: new Float64Array(size), terms: new Float64Array(size) });

function put({ data, terms }: Terms, at: number, value: number, size: number): void {
  data[at] = value;
  terms[at] = size;
}

function addTo({ data, terms }: Terms, at: number, term: number, size: number): void {
  data[at]! += term;
  terms[at]! += size;
}

/** Below every score: what a query has for a logsumexp that sees no key. */
const LOWEST = -3.4028234e38;

/** Numbers of heads, scores with the size of their terms, and which keys a query sees. */
function heads(inputs: readonly Sampled[], mask: Sampled | undefined, attrs: AttentionAttrs) {
  const [q, k, v] = inputs as [Sampled, Sampled, Sampled];
  const [n, t] = q.shape as [number, number];
  const s = k.shape[1]!;
  const { size, columns, scale, causal } = attrs;
  const of = (x: Sampled, column: number) => (b: number, row: number, head: number, d: number) =>
    x.data[(b * x.shape[1]! + row) * x.shape[2]! + column + head * size + d]!;
  const [query, key, value] = [of(q, columns[0]), of(k, columns[1]), of(v, columns[2])];
  const product = (b: number, head: number, i: number, j: number) =>
    range(size).map((d) => scale * query(b, i, head, d) * key(b, j, head, d));
  const seen = (b: number, head: number, i: number) =>
    range(s).filter((j) => {
      if (causal && j > i) return false;
      if (!mask) return true;
      const place = [b, head, i, j].map((at, axis) => (mask.shape[axis] === 1 ? 0 : at));
      return mask.data[place.reduce((flat, at, axis) => flat * mask.shape[axis]! + at, 0)]! > 0;
    });
  const queries = range(n * t * attrs.heads).map((row) => {
    const [b, i, head] = coordsOf(row, [n, t, attrs.heads]) as [number, number, number];
    return { row, b, i, head };
  });
  return { n, t, s, query, key, value, product, seen, queries };
}

const magnitude = (values: readonly number[]) => total(values.map(Math.abs));

const attention: Kernel = (inputs, node) => {
  const attrs = node.attrs as AttentionAttrs;
  const { value, product, seen, queries } = heads(inputs, inputs[3], attrs);
  const y = emptied(queries.length * attrs.size);
  const lse = emptied(queries.length);
  for (const { row, b, i, head } of queries) {
    const keys = seen(b, head, i);
    lse.data[row] = LOWEST;
    if (keys.length === 0) continue;
    const products = keys.map((j) => product(b, head, i, j));
    const scores = products.map(total);
    const rough = 8 + 4 * Math.max(...products.map(magnitude));
    const most = Math.max(...scores);
    const sum = total(scores.map((score) => Math.exp(score - most)));
    put(lse, row, most + Math.log(sum), rough + 4 * Math.abs(most));
    for (const d of range(attrs.size)) {
      const terms = keys.map((j, at) => (Math.exp(scores[at]! - most) / sum) * value(b, j, head, d));
      put(y, row * attrs.size + d, total(terms), rough * magnitude(terms));
    }
  }
  // A mean by weights is rounded, however short the numbers are: of ones it may be a little less than one.
  return [{ ...y, absolute: 2 ** -126 }, lse];
};

/** Gradients for q, and for k and v one behind the other, from the logsumexp and g · y − its cotangent of each query. */
function attentionGradient(which: 'query' | 'key'): Kernel {
  return (inputs, node) => {
    const attrs = node.attrs as AttentionAttrs;
    const { size } = attrs;
    const [, , , g, lse, delta, mask] = inputs;
    const { n, s, query, key, value, product, seen, queries } = heads(inputs, mask, attrs);
    const keys = n * s * attrs.heads * size;
    const result = emptied(which === 'query' ? queries.length * size : 2 * keys);
    for (const { row, b, i, head } of queries) {
      for (const j of seen(b, head, i)) {
        const products = product(b, head, i, j);
        const weight = Math.exp(total(products) - lse!.data[row]!);
        const rough = 8 + 4 * (magnitude(products) + Math.abs(lse!.data[row]!));
        const parts = range(size).map((d) => g!.data[row * size + d]! * value(b, j, head, d));
        const slope = weight * (total(parts) - delta!.data[row]!) * attrs.scale;
        const steep = weight * (magnitude(parts) + Math.abs(delta!.data[row]!)) * Math.abs(attrs.scale) * rough;
        for (const d of range(size)) {
          if (which === 'query') {
            const factor = key(b, j, head, d);
            addTo(result, row * size + d, slope * factor, steep * Math.abs(factor));
            continue;
          }
          const place = ((b * s + j) * attrs.heads + head) * size + d;
          const factor = query(b, i, head, d);
          addTo(result, place, slope * factor, steep * Math.abs(factor));
          const cotangent = g!.data[row * size + d]!;
          addTo(result, keys + place, weight * cotangent, weight * rough * Math.abs(cotangent));
        }
      }
    }
    return result;
  };
}

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** −log of what a logistic distribution has between value − ½ and value + ½, beyond which the ends 0 and 255 have the rest. */
function byteNll(mean: number, logScale: number, value: number): { nll: number; size: number } {
  const inverse = Math.exp(-Math.min(7, Math.max(-5, logScale)));
  const [up, low] = [(value + 0.5 - mean) * inverse, (value - 0.5 - mean) * inverse];
  const size = 8 + 8 * (Math.abs(value) + Math.abs(mean) + 1) * inverse;
  if (value === 0) return { nll: softplus(-up), size };
  if (value === 255) return { nll: softplus(low), size };
  return { nll: softplus(-up) + softplus(low) - Math.log(-Math.expm1(-inverse)), size };
}

const logistic = (v: number) => 1 / (1 + Math.exp(-v));

/** The gates of one number of a state, from what x and the state before give to them, with the size of what is rounded in each. */
function gates(x: readonly Rounded[], a: readonly Rounded[]) {
  const [r, z] = [0, 1].map((i): Rounded => {
    const value = logistic(x[i]!.value + a[i]!.value);
    return { value, size: value + (x[i]!.size + a[i]!.size) / 4 };
  }) as [Rounded, Rounded];
  const [own, other] = [x[2]!, a[2]!];
  const size = own.size + Math.abs(other.value) * r.size + r.value * other.size;
  return { r, z, n: { value: Math.tanh(own.value + r.value * other.value), size: 1 + size } };
}

interface Rounded {
  readonly value: number;
  readonly size: number;
}

/** Of three gates, a number each, as they lie below one another. */
const threeOf = (data: ArrayLike<number>, from: number, width: number): Rounded[] =>
  range(3).map((gate) => {
    const value = data[from + gate * width]!;
    return { value, size: Math.abs(value) };
  });

const gru: Kernel = ([x, w, bias, h0]) => {
  const [count, steps, wide] = x!.shape as [number, number, number];
  const width = wide / 3;
  const y = emptied(count * (steps + 1) * width);
  for (const b of range(count)) {
    let states = range(width).map((j): Rounded => {
      const value = h0!.data[b * width + j]!;
      put(y, b * (steps + 1) * width + j, value, Math.abs(value));
      return { value, size: Math.abs(value) };
    });
    for (const t of range(steps)) {
      const before = states;
      const of = (row: number): Rounded => {
        const weights = range(width).map((k) => w!.data[row * width + k]!);
        return {
          value: bias!.data[row]! + total(weights.map((weight, k) => weight * before[k]!.value)),
          size: Math.abs(bias!.data[row]!) + total(weights.map((weight, k) => Math.abs(weight) * before[k]!.size)),
        };
      };
      states = range(width).map((j) => {
        const given = threeOf(x!.data, (b * steps + t) * wide + j, width);
        const { z, n } = gates(
          given,
          range(3).map((gate) => of(gate * width + j)),
        );
        const h = before[j]!;
        const value = n.value + z.value * (h.value - n.value);
        return { value, size: n.size + h.size + z.size * Math.abs(h.value - n.value) };
      });
      states.forEach(({ value, size }, j) => {
        put(y, (b * (steps + 1) + t + 1) * width + j, value, size);
      });
    }
  }
  return y;
};

const gruGradient: Kernel = ([x, a, y, g, w]) => {
  const [count, steps, wide] = x!.shape as [number, number, number];
  const width = wide / 3;
  const [dx, da, dh0] = [emptied(x!.data.length), emptied(a!.data.length), emptied(count * width)];
  for (const b of range(count)) {
    const stateOf = (t: number) => b * (steps + 1) + t;
    const given = (t: number) => {
      const slopes = emptied(width);
      for (const j of range(width)) {
        const value = g!.data[stateOf(t) * width + j]!;
        put(slopes, j, value, Math.abs(value));
      }
      return slopes;
    };
    let slopes = given(steps);
    for (const t of range(steps).reverse()) {
      const next = given(t);
      for (const j of range(width)) {
        const [atX, atA] = [(b * steps + t) * wide + j, stateOf(t) * wide + j];
        const own = threeOf(a!.data, atA, width);
        const { r, z, n } = gates(threeOf(x!.data, atX, width), own);
        const other = own[2]!.value;
        const [slope, steep] = [slopes.data[j]!, slopes.terms[j]!];
        const distance = y!.data[stateOf(t) * width + j]! - n.value;
        const ofZ = slope * distance * z.value * (1 - z.value);
        const ofN = slope * (1 - z.value) * (1 - n.value ** 2);
        const sizeOfZ = steep * Math.abs(distance) + Math.abs(slope) * (n.size + Math.abs(distance) * (1 + 2 * z.size));
        const sizeOfN = steep + Math.abs(slope) * (z.size + 2 * n.size);
        const ofR = ofN * other * r.value * (1 - r.value);
        const sizeOfR = (sizeOfN + Math.abs(ofN) * (1 + 2 * r.size)) * Math.abs(other);
        put(dx, atX, ofR, sizeOfR);
        put(dx, atX + width, ofZ, sizeOfZ);
        put(dx, atX + 2 * width, ofN, sizeOfN);
        put(da, atA, ofR, sizeOfR);
        put(da, atA + width, ofZ, sizeOfZ);
        put(da, atA + 2 * width, ofN * r.value, sizeOfN + Math.abs(ofN) * r.size);
        addTo(next, j, slope * z.value, steep + Math.abs(slope) * z.size);
      }
      for (const k of range(wide)) {
        const [slope, size] = [da.data[stateOf(t) * wide + k]!, da.terms[stateOf(t) * wide + k]!];
        for (const j of range(width)) {
          const weight = w!.data[k * width + j]!;
          addTo(next, j, slope * weight, size * Math.abs(weight));
        }
      }
      slopes = next;
    }
    for (const j of range(width)) put(dh0, b * width + j, slopes.data[j]!, slopes.terms[j]!);
  }
  return [dx, da, dh0];
};

export const textKernels: Readonly<Record<string, Kernel>> = {
  layerNorm: rowNorm(true),
  rmsNorm: rowNorm(false),
  layerNormGradient: rowNormGradient(true),
  rmsNormGradient: rowNormGradient(false),
  attention,
  maskedAttention: attention,
  attentionQueryGradient: attentionGradient('query'),
  maskedAttentionQueryGradient: attentionGradient('query'),
  attentionKeyGradient: attentionGradient('key'),
  maskedAttentionKeyGradient: attentionGradient('key'),
  gru,
  gruGradient,
  rotary([x], node) {
    const { base, offset } = node.attrs as { base: number; offset: number };
    const result = emptied(sizeOf(x!.shape));
    const half = x!.shape[3]! / 2;
    for (const at of range(result.data.length)) {
      const [, position, , d] = coordsOf(at, x!.shape) as [number, number, number, number];
      const angle = (position + offset) * base ** (-(d % half) / half);
      const [own, other] = [x!.data[at]!, x!.data[d < half ? at + half : at - half]!];
      const turned = own * Math.cos(angle) + (d < half ? -1 : 1) * other * Math.sin(angle);
      // Hardware's sine and cosine are rough, by an absolute error: WGSL allows 2⁻¹¹.
      put(result, at, turned, 256 * (Math.abs(own) + Math.abs(other)));
    }
    return result;
  },
  sortIndices([indices]) {
    const order = range(indices!.data.length).sort((a, b) => indices!.data[a]! - indices!.data[b]! || a - b);
    return [order, order.map((i) => indices!.data[i]!)].map((data) => ({ data: Float64Array.from(data) }));
  },
  segmentSum([values, order, sorted], node) {
    const [rows, width] = node.shape as [number, number];
    const result = emptied(rows * width);
    sorted!.data.forEach((row, place) => {
      if (row >= rows) return;
      for (const j of range(width)) {
        const term = values!.data[order!.data[place]! * width + j]!;
        addTo(result, row * width + j, term, Math.abs(term));
      }
    });
    return result;
  },
  discretizedLogisticNll([mean, logScale, value], node) {
    const result = emptied(sizeOf(node.shape));
    for (const at of range(result.data.length)) {
      const { nll, size } = byteNll(mean!.data[at]!, logScale!.data[at]!, value!.data[at]!);
      put(result, at, nll, size);
    }
    return result;
  },
  logisticMixtureNll([logits, means, logScales, value], node) {
    const result = emptied(sizeOf(node.shape));
    const count = result.data.length;
    for (const at of range(count)) {
      const places = range(logits!.shape[0]!).map((component) => component * count + at);
      const weights = places.map((i) => logits!.data[i]!);
      const most = Math.max(...weights);
      const norm = most + Math.log(total(weights.map((weight) => Math.exp(weight - most))));
      const each = places.map((i) => byteNll(means!.data[i]!, logScales!.data[i]!, value!.data[at]!));
      const logs = each.map(({ nll }, i) => weights[i]! - norm - nll);
      const best = Math.max(...logs);
      const nll = -(best + Math.log(total(logs.map((log) => Math.exp(log - best)))));
      const size = 8 + 4 * (Math.abs(norm) + Math.max(...weights.map(Math.abs)) + Math.abs(best));
      put(result, at, nll, size + Math.max(...each.map((one) => one.size + Math.abs(one.nll))));
    }
    return result;
  },
};
