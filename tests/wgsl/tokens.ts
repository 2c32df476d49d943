// Splits WGSL into tokens, without its comments.
export type Token = string;

const TOKEN =
  /\/\/[^\n]*|\s+|(->|\+\+|--|&&|\|\||<<|>>|[-+*/%&|^<>=!]=|[A-Za-z_]\w*|\d[\w.]*(?:e[-+]\d+)?\w*|\.\d+|[^\s\w])/gy;

export function tokens(text: string): Token[] {
  return [...text.matchAll(TOKEN)].flatMap(([, token]) => (token === undefined ? [] : [token]));
}
