// Index arithmetic at compile time: sums of multiples of named u32 variables with known bounds.
// Knowing an index as 784·row + 4·column + 2 is what lets the emitter drop divisions and load whole vec4s.

interface Term {
  readonly scale: number;
  /** The variable lies in [0, bound). */
  readonly bound: number;
}

/** constant + Σ scaleᵢ · variableᵢ, with every variable a u32 in [0, boundᵢ). */
export class Affine {
  readonly terms: ReadonlyMap<string, Term>;
  readonly constant: number;

  constructor(terms: ReadonlyMap<string, Term>, constant: number) {
    this.terms = terms;
    this.constant = constant;
  }

  static constant(value: number): Affine {
    return new Affine(new Map(), value);
  }

  /** The variable `name`, which lies in [0, bound); a variable of one value is 0. */
  static variable(name: string, bound: number): Affine {
    return bound <= 1 ? Affine.constant(0) : new Affine(new Map([[name, { scale: 1, bound }]]), 0);
  }

  plus(other: Affine | number): Affine {
    if (typeof other === 'number') return new Affine(this.terms, this.constant + other);
    const terms = new Map(this.terms);
    for (const [name, { scale, bound }] of other.terms) {
      const total = (terms.get(name)?.scale ?? 0) + scale;
      if (total === 0) terms.delete(name);
      else terms.set(name, { scale: total, bound });
    }
    return new Affine(terms, this.constant + other.constant);
  }

  times(factor: number): Affine {
    if (factor === 0) return Affine.constant(0);
    const terms = new Map<string, Term>();
    for (const [name, { scale, bound }] of this.terms) terms.set(name, { scale: scale * factor, bound });
    return new Affine(terms, this.constant * factor);
  }

  /** The greatest value that it can have. */
  get max(): number {
    let max = this.constant;
    for (const { scale, bound } of this.terms.values()) if (scale > 0) max += scale * (bound - 1);
    return max;
  }

  /** The least value that it can have. */
  get min(): number {
    let min = this.constant;
    for (const { scale, bound } of this.terms.values()) if (scale < 0) min += scale * (bound - 1);
    return min;
  }

  /** Splits into the part whose scales are multiples of `divisor`, divided by it, and the rest. */
  split(divisor: number): { multiple: Affine; rest: Affine } {
    const multiple = new Map<string, Term>();
    const rest = new Map<string, Term>();
    for (const [name, term] of this.terms) {
      if (term.scale % divisor === 0) multiple.set(name, { scale: term.scale / divisor, bound: term.bound });
      else rest.set(name, term);
    }
    const quotient = Math.floor(this.constant / divisor);
    return {
      multiple: new Affine(multiple, quotient),
      rest: new Affine(rest, this.constant - quotient * divisor),
    };
  }

  /** The greatest common divisor of `start` and of all scales. */
  gcd(start: number): number {
    let result = start;
    for (const { scale } of this.terms.values()) result = gcd(result, Math.abs(scale));
    return result;
  }

  /** As a WGSL expression of type u32; it wraps around as WGSL does, so a negative constant is subtracted. */
  toString(): string {
    this.text ??= this.write();
    return this.text;
  }

  private text: string | undefined;

  private write(): string {
    const parts: string[] = [];
    for (const [name, { scale }] of [...this.terms].sort(([a], [b]) => (a < b ? -1 : 1))) {
      parts.push(scale === 1 ? name : `${name} * ${scale >>> 0}u`);
    }
    if (this.constant > 0 || parts.length === 0) parts.push(`${this.constant >>> 0}u`);
    const sum = parts.join(' + ');
    const text = this.constant < 0 && this.terms.size > 0 ? `${sum} - ${-this.constant}u` : sum;
    return text.includes(' ') ? `(${text})` : text;
  }
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
