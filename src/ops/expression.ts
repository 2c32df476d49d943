// Expressions of WGSL that carry the names that they use, so that nobody reads their text again to find out.
import type { Affine } from './affine.ts';

/** A component of a named vec4. */
export interface Component {
  readonly vector: Expr;
  readonly lane: number;
}

/** It has no `toString`, so that it isn't put into a text without what it uses: write wgsl`…`. */
export class Expr {
  readonly text: string;
  /** Names of the kernel's statements and variables. */
  readonly uses: readonly string[];
  readonly component: Component | undefined;

  constructor(text: string, uses: readonly string[] = [], component?: Component) {
    this.text = text;
    this.uses = uses;
    this.component = component;
  }

  /** A text that was made of parts. */
  static of(text: string, parts: readonly (Expr | Affine)[]): Expr {
    return new Expr(
      text,
      parts.flatMap((part) => (part instanceof Expr ? part.uses : [...part.terms.keys()])),
    );
  }

  static join(parts: readonly Expr[], separator: string): Expr {
    return Expr.of(parts.map(({ text }) => text).join(separator), parts);
  }
}

/** An expression, or a statement, made of others: wgsl`select(${value}, 0.0, ${index} < ${count}u)`. */
export function wgsl(strings: TemplateStringsArray, ...parts: readonly (Expr | Affine | string | number)[]): Expr {
  const texts = parts.map((part) => (part instanceof Expr ? part.text : String(part)));
  const text = strings.reduce((before, string, i) => before + texts[i - 1]! + string);
  return Expr.of(
    text,
    parts.filter((part) => typeof part === 'object'),
  );
}
