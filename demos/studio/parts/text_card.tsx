// A text that a model made, with what it shows.
import type { ShownText } from '../../../src/train/texts.ts';
import { CardTitle } from './ui.tsx';

export function TextCard({ shown: { name, caption, text } }: { shown: ShownText }) {
  return (
    <section class="card">
      <CardTitle name={name} caption={caption} />
      <pre class="sample">{text}</pre>
    </section>
  );
}
