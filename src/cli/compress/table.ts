// What coders make of the same, beside each other.
import type { Size } from './compare.ts';

/** The archive among the others, from the smallest on; those that are missing last. @param numbers that the rate is of */
export function showTable(own: number, others: readonly Size[], numbers: number, unit: string): string[] {
  if (others.length === 0 || numbers === 0) return [];
  const all = [{ name: 'Glia, without the model', bytes: own }, ...others.filter((other) => other.bytes !== undefined)];
  const rows = all
    .sort((a, b) => a.bytes! - b.bytes!)
    .map((row) => {
      const each = ((8 * row.bytes!) / numbers).toFixed(4);
      return `${row.name.padEnd(26)}${row.bytes!.toLocaleString('en').padStart(14)}${each.padStart(12)}`;
    });
  const without = others.filter((other) => other.bytes === undefined);
  const missing = without.filter(({ failure }) => !failure).map(({ name, from }) => `${name} (${from})`);
  const failed = without.filter(({ failure }) => failure).map(({ name, failure }) => `${name} (${failure})`);
  return [
    `\n${''.padEnd(26)}${'bytes'.padStart(14)}${unit.padStart(12)}`,
    ...rows,
    ...(missing.length ? [`not installed: ${missing.join(', ')}`] : []),
    ...(failed.length ? [`failed: ${failed.join(', ')}`] : []),
  ];
}
