// Text that a model shows of itself.
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { ShownText } from '../../../src/train/texts.ts';
import { TextCard } from '../parts/text_card.tsx';
import { complain } from '../state.ts';
import { player, step } from './model.ts';

export function Texts() {
  const texts = useSignal<readonly ShownText[] | undefined>(undefined);
  useEffect(() => {
    player.texts().then((shown) => (texts.value = shown), complain);
  }, [step.value]);
  if (!texts.value) return <p class="loading">Writing …</p>;
  return (
    <div class="column" id="texts">
      {texts.value.map((shown) => (
        <TextCard key={shown.name} shown={shown} />
      ))}
    </div>
  );
}
