// Asymmetric numeral systems (Duda, 2009; range variant), as a stack: what was pushed last is popped first, and popping symbols of
// a distribution takes as many bits away as pushing them adds. Several states take turns and share one stack of 16-bit words.
//
// A state is an integer in [2³², 2⁴⁸), held in a double. All sums and products stay below 2⁵³, and the quotient of two such
// integers, rounded to a double and then down, is the exact one: so the coder is exact without BigInt.
import { DataError } from '../errors.ts';
import { philox } from '../ops/philox.ts';

const WORD = 2 ** 16;
/** Least state, and the least that is too large. */
export const LOWEST = 2 ** 32;
const LIMIT = LOWEST * WORD;
/** Most bits of a distribution: its frequencies sum to two to this power at most. */
export const MAX_PRECISION = 32;
/** Bytes of a state in a file. */
export const STATE_BYTES = 6;
export const MAX_LANES = 256;

/** Words that lie below the stack's bottom, for who pops more than was pushed: the same everywhere. */
function tape(index: number): number {
  const words = philox([Math.floor(index / 8), 0, 0x616e73, 0], [0x676c6961, 0]);
  return (words[Math.floor((index % 8) / 2)]! >>> (16 * (index % 2))) & 0xffff;
}

const firstState = (lane: number) => LOWEST + philox([lane, 1, 0x616e73, 0], [0x676c6961, 0])[0]!;

export class AnsStack {
  /** The states. */
  readonly lanes: Float64Array;
  private words: Uint16Array = new Uint16Array(1024);
  /** Words on the stack. */
  private used = 0;
  /** Words that came from below its bottom. */
  private borrowed = 0;
  /** The lane of the next push. */
  private turn = 0;

  constructor(lanes = 8) {
    this.lanes = Float64Array.from({ length: lanes }, (_, lane) => firstState(lane));
  }

  /** Words on the stack; each holds 16 bits. */
  get length(): number {
    return this.used;
  }

  private pushWord(word: number): void {
    if (this.used === this.words.length) {
      const grown = new Uint16Array(2 * this.used);
      grown.set(this.words);
      this.words = grown;
    }
    this.words[this.used++] = word;
  }

  private popWord(): number {
    return this.used > 0 ? this.words[--this.used]! : tape(this.borrowed++);
  }

  /**
   * Pushes a symbol that has the slots [start, start + frequency) of 2^precision.
   *
   * @param frequency at least 1
   * @param precision at most 32
   */
  push(start: number, frequency: number, precision: number): void {
    const { lanes, turn } = this;
    let x = lanes[turn]!;
    const limit = frequency * (LIMIT / 2 ** precision);
    while (x >= limit) {
      const rest = Math.floor(x / WORD);
      this.pushWord(x - rest * WORD);
      x = rest;
    }
    const quotient = Math.floor(x / frequency);
    lanes[turn] = quotient * 2 ** precision + (x - quotient * frequency) + start;
    this.turn = turn + 1 === lanes.length ? 0 : turn + 1;
  }

  /** The slot, below 2^precision, that the next pop is of: whose symbol has it is the one to `drop`. */
  peek(precision: number): number {
    const x = this.lanes[this.turn === 0 ? this.lanes.length - 1 : this.turn - 1]!;
    const scale = 2 ** precision;
    return x - Math.floor(x / scale) * scale;
  }

  /** Takes off the symbol that `peek` has shown. */
  drop(start: number, frequency: number, precision: number): void {
    const { lanes } = this;
    this.turn = this.turn === 0 ? lanes.length - 1 : this.turn - 1;
    const scale = 2 ** precision;
    let x = lanes[this.turn]!;
    const quotient = Math.floor(x / scale);
    x = frequency * quotient + (x - quotient * scale) - start;
    while (x < LOWEST) x = x * WORD + this.popWord();
    lanes[this.turn] = x;
  }

  /** States, turn and words. */
  encode(): Uint8Array {
    const { lanes, turn, words, used } = this;
    const bytes = new Uint8Array(2 + STATE_BYTES * lanes.length + 2 * used);
    const view = new DataView(bytes.buffer);
    bytes[0] = lanes.length - 1;
    bytes[1] = turn;
    lanes.forEach((x, lane) => {
      const high = Math.floor(x / LOWEST);
      view.setUint16(2 + STATE_BYTES * lane, high, true);
      view.setUint32(4 + STATE_BYTES * lane, x - high * LOWEST, true);
    });
    const start = 2 + STATE_BYTES * lanes.length;
    for (let i = 0; i < used; i++) view.setUint16(start + 2 * i, words[i]!, true);
    return bytes;
  }

  /** @throws DataError if the bytes hold no stack */
  static decode(bytes: Uint8Array): AnsStack {
    const lanes = (bytes[0] ?? 0) + 1;
    const start = 2 + STATE_BYTES * lanes;
    const turn = bytes[1] ?? 0;
    if (bytes.length < start || (bytes.length - start) % 2 || turn >= lanes)
      throw new DataError('it is no coded stack');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const stack = new AnsStack(lanes);
    stack.turn = turn;
    for (let lane = 0; lane < lanes; lane++) {
      const high = view.getUint16(2 + STATE_BYTES * lane, true);
      if (high === 0) throw new DataError('it is no coded stack');
      stack.lanes[lane] = high * LOWEST + view.getUint32(4 + STATE_BYTES * lane, true);
    }
    stack.used = (bytes.length - start) / 2;
    stack.words = new Uint16Array(Math.max(1024, stack.used));
    for (let i = 0; i < stack.used; i++) stack.words[i] = view.getUint16(start + 2 * i, true);
    return stack;
  }

  /** Whether all that was pushed has been popped, and what was borrowed from below has been given back. */
  get isFirst(): boolean {
    const { lanes, words, used, borrowed, turn } = this;
    if (borrowed > 0 || turn !== 0 || lanes.some((x, lane) => x !== firstState(lane))) return false;
    for (let i = 0; i < used; i++) if (words[i] !== tape(used - 1 - i)) return false;
    return true;
  }
}
