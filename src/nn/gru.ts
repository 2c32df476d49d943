// A gated recurrent unit as a module, under PyTorch's names.
import { ShapeError } from '../errors.ts';
import { add } from '../ops/elementwise.ts';
import { gru } from '../ops/gru.ts';
import { matmul } from '../ops/matmul.ts';
import { scope, show, type Tensor } from '../ops/tensor.ts';
import { concat, reshape, slice } from '../ops/view.ts';
import { uniform } from './init.ts';
import { Module, Parameter } from './module.ts';

export interface GRUOptions {
  /** Layers one above the other, 1 by default. */
  readonly layers?: number;
}

interface Cell {
  readonly weight_ih: Parameter;
  readonly weight_hh: Parameter;
  readonly bias_ih: Parameter;
  readonly bias_hh: Parameter;
}

/**
 * PyTorch's GRU with `batch_first`: weight_ih_l0 [3 · hidden, in], weight_hh_l0 [3 · hidden, hidden], bias_ih_l0 and bias_hh_l0
 * [3 · hidden], of gates r, z and n one below the other, all uniform in ±1/√hidden at first; l1 and so on of further layers.
 */
export class GRU extends Module {
  private readonly cells: readonly Cell[];
  private readonly inFeatures: number;
  private readonly hidden: number;

  constructor(inFeatures: number, hidden: number, { layers = 1 }: GRUOptions = {}) {
    super();
    const drawn = uniform(1 / Math.sqrt(hidden));
    const parameter = (...shape: number[]) => new Parameter(shape, drawn);
    this.cells = Array.from({ length: layers }, (_, i) => ({
      weight_ih: parameter(3 * hidden, i === 0 ? inFeatures : hidden),
      weight_hh: parameter(3 * hidden, hidden),
      bias_ih: parameter(3 * hidden),
      bias_hh: parameter(3 * hidden),
    }));
    this.inFeatures = inFeatures;
    this.hidden = hidden;
  }

  override members(): [string, unknown][] {
    return this.cells.flatMap((cell, i) =>
      Object.entries(cell).map(([name, value]): [string, unknown] => [`${name}_l${i}`, value]),
    );
  }

  /**
   * @param x [N, T, in]
   * @param initial states, [layers, N, hidden]; zeros by default
   * @returns the last layer's states [N, T, hidden], and each layer's last state [layers, N, hidden]
   */
  forward(x: Tensor, initial?: Tensor): readonly [Tensor, Tensor] {
    const { inFeatures, hidden, cells } = this;
    const [n, t, width] = x.shape as [number, number, number];
    const states = [cells.length, n, hidden];
    if (x.shape.length !== 3 || width !== inFeatures || (initial && String(initial.shape) !== String(states))) {
      const given = initial ? ` and states ${show(initial.shape)}` : '';
      throw new ShapeError(
        `GRU(${inFeatures}, ${hidden}) got ${show(x.shape)}${given}, and wants [N, T, ${inFeatures}] and states ${show(states)}`,
      );
    }
    const last: Tensor[] = [];
    const y = cells.reduce((below, { weight_ih, weight_hh, bias_ih, bias_hh }, i) => {
      const above = scope(`l${i}`, () => {
        const rows = reshape(below, [n * t, below.shape[2]!]);
        const given = add(matmul(rows, weight_ih.tensor, { transposeB: true }), bias_ih.tensor);
        const own = initial && reshape(slice(initial, 0, i, i + 1), [n, hidden]);
        return gru(reshape(given, [n, t, 3 * hidden]), weight_hh.tensor, bias_hh.tensor, { initial: own });
      });
      last.push(reshape(slice(above, 1, t - 1, t), [1, n, hidden]));
      return above;
    }, x);
    return [y, last.length > 1 ? concat(last) : last[0]!];
  }
}
