// A text that a model made, with what it shows.
import type { ShownText } from '../../../src/train/texts.ts';
import { optionsAsOnPage } from './errors.ts';
import { CardTitle } from './ui.tsx';

export function TextCard({ shown: { name, caption, text, note } }: { shown: ShownText }) {
  return (
    <section class="card">
      <CardTitle name={name} caption={caption} />
      <pre class="sample">{text}</pre>
      {note && <p class="hint">Note that {optionsAsOnPage(note)}.</p>}
    </section>
  );
}
