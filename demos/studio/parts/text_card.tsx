// A text that a model made, with what it shows.
import type { ShownText } from '../../../src/train/texts.ts';

export function TextCard({ shown: { name, caption, text } }: { shown: ShownText }) {
  return (
    <section class="card">
      <h2>
        {name[0]?.toUpperCase()}
        {name.slice(1)} <small>{caption}</small>
      </h2>
      <pre class="sample">{text}</pre>
    </section>
  );
}
