// Colours of the theme that is in force, for what is drawn on canvases.

export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Calls whenever the scheme changes between light and dark. @returns what ends that */
export function onScheme(changed: () => void): () => void {
  const query = matchMedia('(prefers-color-scheme: dark)');
  query.addEventListener('change', changed);
  return () => query.removeEventListener('change', changed);
}

/** Colours of classes that are told apart in both schemes, and by those who see few colours: Paul Tol's, with ten. */
export const CLASS_COLORS = [
  '#4477aa',
  '#ee6677',
  '#228833',
  '#ccbb44',
  '#66ccee',
  '#aa3377',
  '#a0a0a0',
  '#ee8866',
  '#7755cc',
  '#44bb99',
];

export const classColor = (label: number | undefined) => CLASS_COLORS[(label ?? 0) % CLASS_COLORS.length]!;
