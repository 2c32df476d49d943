// Tables of text that fit a width: columns of words give way, those of numbers do not.

/**
 * Lines of a table. A column with a weight holds words, stands at the left, and is cut where the table would be wider:
 * the more, the less its weight.
 */
export function tableOf(
  rows: readonly (readonly string[])[],
  weights: readonly (number | undefined)[],
  width: number,
): string[] {
  const widths = weights.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const words = [...weights.keys()].filter((i) => weights[i]);
  const gap = (i: number) => (i === 0 ? 0 : weights[i] || weights[i - 1] ? 2 : 1);
  const total = () => widths.reduce((sum, each, i) => sum + each + gap(i), 0);
  const excess = (i: number) => widths[i]! / weights[i]!;
  while (total() > width && words.some((i) => widths[i]! > 1)) {
    widths[words.reduce((most, i) => (excess(i) > excess(most) ? i : most))]!--;
  }
  return rows.map((row) => {
    const cells = row.map((text, i) => {
      const fitted = weights[i] ? cut(text, widths[i]!).padEnd(widths[i]!) : text.padStart(widths[i]!);
      return ' '.repeat(gap(i)) + fitted;
    });
    return cells.join('').trimEnd();
  });
}

/** Cuts off the end, or, of what leads to something, what comes before the arrow: the result tells more. */
function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  const arrow = text.indexOf(' → ');
  const end = arrow > 0 && text.length - arrow < width - 4 ? text.slice(arrow) : '';
  return `${text.slice(0, width - 1 - end.length).replace(/[\s,+]+$/, '')}…${end}`;
}
