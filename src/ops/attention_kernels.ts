// How attention and its gradients are computed: by a thread for a tile of rows of a head, or, on GPUs, by a workgroup for a block.
import forwardShader from '../../shaders/attention/forward.wgsl?raw';
import forwardWorkgroupShader from '../../shaders/attention/forward_workgroup.wgsl?raw';
import keyShader from '../../shaders/attention/key_gradient.wgsl?raw';
import keyWorkgroupShader from '../../shaders/attention/key_gradient_workgroup.wgsl?raw';
import queryShader from '../../shaders/attention/query_gradient.wgsl?raw';
import queryWorkgroupShader from '../../shaders/attention/query_gradient_workgroup.wgsl?raw';
import attention_block from '../../shaders/include/attention_block.wgsl?raw';
import attention_block_scores from '../../shaders/include/attention_block_scores.wgsl?raw';
import attention_block_start from '../../shaders/include/attention_block_start.wgsl?raw';
import attention_block_sums from '../../shaders/include/attention_block_sums.wgsl?raw';
import attention_cotangents from '../../shaders/include/attention_cotangents.wgsl?raw';
import attention_keys from '../../shaders/include/attention_keys.wgsl?raw';
import attention_operands from '../../shaders/include/attention_operands.wgsl?raw';
import attention_seen from '../../shaders/include/attention_seen.wgsl?raw';
import attention_thread from '../../shaders/include/attention_thread.wgsl?raw';
import attention_tile from '../../shaders/include/attention_tile.wgsl?raw';
import quad_rows from '../../shaders/include/quad_rows.wgsl?raw';
import { include } from '../gpu/include.ts';
import { type AttentionAttrs, probesOf } from './attention_reference.ts';
import type { KernelSpec } from './define.ts';
import { parallelismOf } from './parallelism.ts';
import { spreadWorkgroups } from './spread_workgroups.ts';
import { type AdapterTraits, sizeOf, type Tensor } from './tensor.ts';

type Node = Tensor<AttentionAttrs>;
type Spec = KernelSpec<AttentionAttrs>;

/** One of the three kernels. */
interface Walk {
  /** By a thread, and by a workgroup. */
  readonly direct: string;
  readonly workgroup: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The operand whose rows are dealt out: queries or keys. */
  readonly axis: 0 | 1;
  /** Of own rows, sums in registers. */
  readonly sums: number;
  /** Matmuls of the size of the scores: those that give scores or their cotangents, and one for each of the sums. */
  readonly products: number;
}

const GRADIENT_INPUTS = ['q', 'k', 'v', 'g', 'lse', 'delta'];

const FORWARD: Walk = {
  ...{ direct: forwardShader, workgroup: forwardWorkgroupShader },
  ...{ inputs: ['q', 'k', 'v'], outputs: ['y', 'lse'], axis: 0, sums: 1, products: 2 },
};
const QUERIES: Walk = {
  ...{ direct: queryShader, workgroup: queryWorkgroupShader },
  ...{ inputs: GRADIENT_INPUTS, outputs: ['dq'], axis: 0, sums: 1, products: 3 },
};
const KEYS: Walk = {
  ...{ direct: keyShader, workgroup: keyWorkgroupShader },
  ...{ inputs: GRADIENT_INPUTS, outputs: ['dkv'], axis: 1, sums: 2, products: 4 },
};
const WALKS = { forward: FORWARD, query: QUERIES, key: KEYS };

/** Kernels of attention, or of its gradient for queries or for keys and values, in the order of the rule's preference. */
export function attentionKernels(which: keyof typeof WALKS, masked: boolean): readonly Spec[] {
  const walk = WALKS[which];
  const quads: Partial<Spec> = {
    possible: ({ attrs }, { subgroupSize }) => subgroupSize === 4 && attrs.size <= WRITTEN_OUT,
    heuristic: (node, { software }) => software && flopsOf(node, walk) >= LONG,
    unverified: true,
    probe: probesOf(masked, which !== 'forward'),
  };
  return [
    ...BLOCKS.map((block) => byWorkgroup(walk, masked, block)),
    { ...byThread(walk, masked, true), ...quads },
    byThread(walk, masked, false),
  ];
}

const flopsOf = ({ inputs: [q, k], attrs: { heads, size, causal } }: Node, { products }: Walk) =>
  (2 * products * q!.shape[0]! * heads * size * q!.shape[1]! * k!.shape[1]!) / (causal ? 2 : 1);

/** What all kernels are told: sizes, and where operands lie. */
function operandsOf({ inputs, attrs }: Node, masked: boolean) {
  const [q, k, v] = inputs as readonly [Tensor, Tensor, Tensor];
  const { heads, size, columns, causal, scale } = attrs;
  const mask = inputs.at(-1)!.shape;
  const stride = (axis: number) => (mask[axis] === 1 ? 0 : sizeOf(mask.slice(axis + 1)));
  return {
    ...{ BATCH: q.shape[0]!, HEADS: heads, SIZE: size / 4, QUERIES: q.shape[1]!, KEYS: k.shape[1]! },
    ...{ Q_WIDTH: q.shape[2]! / 4, K_WIDTH: k.shape[2]! / 4, V_WIDTH: v.shape[2]! / 4 },
    ...{ Q_FIRST: columns[0] / 4, K_FIRST: columns[1] / 4, V_FIRST: columns[2] / 4 },
    ...{ SCALE: Math.fround(scale), CAUSAL: causal, MASKED: masked },
    ...(masked && { MASK_BATCH: stride(0), MASK_HEAD: stride(1), MASK_QUERY: stride(2), MASK_KEY: stride(3) }),
  };
}

/** What kernels of one walk have in common. Without a mask there is none to bind, nor a place for it. */
const bound = (walk: Walk, masked: boolean, wgsl: string) => ({
  wgsl: masked ? wgsl : wgsl.replace(/^.*> mask: .*$/m, ''),
  inputs: masked ? [...walk.inputs, 'mask'] : walk.inputs,
  outputs: walk.outputs,
  flops: (node: Node) => flopsOf(node, walk),
});

/** Of a workgroup whose threads do not wait for each other: few, so that few rows keep several cores busy. */
const APART = 16;

/** Rows of a thread: what fits registers, and leaves threads enough. */
const tileOf = (size: number, sums: number) => (sums * size <= 64 ? 4 : sums * size <= 128 ? 2 : 1);

/** Greatest size of a head whose loops over its numbers are written out, as registers want it. */
const WRITTEN_OUT = 64;
/** Operations from which on their speed counts for more than how much longer they take to compile. */
const LONG = 1e6;
/** Rows of a thread where four share their loads: more of them use a load more often, and are more to compile. */
const quadTileOf = (size: number, sums: number) => (sums * size <= 32 ? 8 : sums * size <= 64 ? 4 : 2);

/** One thread a tile of rows of a head: queries, or keys. Of subgroups of four lanes, each loads for the others. */
function byThread(walk: Walk, masked: boolean, quads: boolean): Spec {
  const { axis, sums } = walk;
  const tile = ({ attrs }: Node) => (quads ? quadTileOf : tileOf)(attrs.size, sums);
  const texts = { attention_operands, attention_thread, attention_cotangents, attention_keys, attention_seen };
  const whole = include(walk.direct, { ...texts, attention_tile, quad_rows: quads ? quad_rows : '' });
  return {
    ...bound(walk, masked, quads ? whole : whole.replace(/^(enable|diagnostic).*$/gm, '')),
    name: quads ? 'one thread a tile, quad swaps' : 'one thread a tile',
    constants(node) {
      const kept = quads ? node.attrs.size / 4 : 1;
      return {
        ...{ ...operandsOf(node, masked), THREADS: APART, TILE: tile(node), QUADS: quads },
        ...{ OWN: quads ? tile(node) * kept : 1, KEPT: kept },
      };
    },
    workgroups(node) {
      const operand = node.inputs[axis]!;
      const [rows, step] = [operand.shape[1]!, tile(node)];
      const tiles = quads ? 4 * Math.ceil(rows / (4 * step)) : Math.ceil(rows / step);
      return spreadWorkgroups(Math.ceil((operand.shape[0]! * node.attrs.heads * tiles) / APART));
    },
  };
}

/** A workgroup has as many threads. */
const THREADS = 64;
/** Threads along each side of a block's workgroup; its memory is groups of as many rows of as many vec4s. */
const SIDE = 8;

/** Rows of a thread in the block of a workgroup: own ones, and others at a time. */
interface Block {
  readonly own: 4 | 8;
  readonly others: 4;
  /** What a multiply-add costs with what is read for it, in those of the first block. */
  readonly cost: number;
}

const BLOCKS: readonly Block[] = [
  { own: 8, others: 4, cost: 1 },
  { own: 4, others: 4, cost: 1.3 },
];

/** Scores and sums that a thread may have in registers: of 160 and more, AMD's compiler spills some. */
const MOST_HELD = 128;
/** What part of a thread's registers the rule gives to these: what is read wants nearly as many, and fewer are for more workgroups. */
const HELD = 2 / 5;

/** How a block goes through registers and workgroup memory. */
function layoutOf(walk: Walk, { own, others }: Block, size: number) {
  const vec4s = size / 4;
  const columns = Math.ceil(vec4s / SIDE);
  const own4 = own / 4;
  // Results take the place that scores had, or if need be as little more as they can.
  const scores = own + others;
  const results = (staged: number) => staged * (columns + own4);
  const staged = [4, 2].find((count) => results(count) <= scores) ?? 1;
  return {
    ...{ OWN4: own4, OTHERS: others, COLUMNS: columns, STAGED: staged },
    ...{ PIECES: columns, WIDTH: Math.ceil(vec4s / columns) },
    GROUPS: Math.max(scores, results(staged)) + (walk === FORWARD ? own4 : 0),
  };
}

function byWorkgroup(walk: Walk, masked: boolean, block: Block): Spec {
  const texts = { attention_operands, attention_cotangents, attention_block, attention_block_start };
  const whole = include(walk.workgroup, { ...texts, attention_block_scores, attention_block_sums });
  const rows = SIDE * block.own;
  return {
    ...bound(walk, masked, whole),
    name: `block of ${rows} rows a workgroup`,
    possible: (node, { software }) => !software && isHeld(node, walk, block, MOST_HELD),
    heuristic: (node, traits) => bestBlock(node, walk, traits) === block,
    constants: (node) => ({ ...operandsOf(node, masked), ...layoutOf(walk, block, node.attrs.size) }),
    workgroups: (node) => spreadWorkgroups(headsOf(node) * Math.ceil(node.inputs[walk.axis]!.shape[1]! / rows)),
  };
}

const headsOf = ({ inputs: [q], attrs: { heads } }: Node) => q!.shape[0]! * heads;

/** Whether scores and sums of a block are so many at most; the smallest is taken all the same. */
function isHeld({ attrs: { size } }: Node, walk: Walk, block: Block, most: number): boolean {
  const { products, sums } = walk;
  const { COLUMNS } = layoutOf(walk, block, size);
  const held = block.own * ((products - sums) * block.others + 4 * sums * COLUMNS);
  return block === BLOCKS.at(-1) || held <= most;
}

/** Operations below which a kernel is hardly longer than its dispatch, whatever computes it. */
const FEW = 2 ** 18;
/** Threads of a core that hide what a block waits for; by themselves they want as many as the adapter holds. */
const ENOUGH = 256;
/** What a multiply-add costs a thread that reads all rows by itself. */
const ALONE = 6;

/** What is computed by workgroups of so many own rows, and so many others at a time. */
interface Way {
  readonly workgroups: number;
  readonly rows: number;
  readonly others: number;
  readonly cost: number;
  readonly enough: number;
}

/** Scores that are computed, wanted or not, by turns of the workgroups on the cores, each as long as its threads take. */
function timeOf(node: Node, { axis }: Walk, cores: number, { workgroups, rows, others, cost, enough }: Way): number {
  const turns = Math.ceil(workgroups / cores);
  const share = Math.min(1, (turns * THREADS) / enough);
  return (turns * rows * others * Math.ceil(node.inputs[1 - axis]!.shape[1]! / others) * cost) / share;
}

/** The block that takes least; none where that is a thread for each tile, or where it does not matter. */
function bestBlock(node: Node, walk: Walk, traits: AdapterTraits): Block | undefined {
  if (flopsOf(node, walk) < FEW) return undefined;
  const { cores, threads, registers } = parallelismOf(traits);
  const own = node.inputs[walk.axis]!.shape[1]!;
  const heads = headsOf(node);
  const tile = tileOf(node.attrs.size, walk.sums);
  const alone = { workgroups: Math.ceil((heads * Math.ceil(own / tile)) / THREADS), rows: THREADS * tile, others: 4 };
  let least = timeOf(node, walk, cores, { ...alone, cost: ALONE, enough: threads / cores });
  let best: Block | undefined;
  for (const block of BLOCKS) {
    if (!isHeld(node, walk, block, HELD * registers)) continue;
    const { WIDTH, PIECES, COLUMNS } = layoutOf(walk, block, node.attrs.size);
    const rows = SIDE * block.own;
    const way = { workgroups: heads * Math.ceil(own / rows), rows, others: SIDE * block.others, enough: ENOUGH };
    // Of vec4s, some are computed that a head does not have.
    const waste = (WIDTH * PIECES + SIDE * COLUMNS) / (node.attrs.size / 2);
    const time = timeOf(node, walk, cores, { ...way, cost: block.cost * waste });
    if (time >= least) continue;
    least = time;
    best = block;
  }
  return best;
}
