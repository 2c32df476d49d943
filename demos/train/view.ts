// What the page shows of a run: numbers, the loss curve, pictures.
import type uPlot from 'uplot';
import { describeTerm } from '../../src/train/events.ts';
import type { ShownText } from '../../src/train/texts.ts';
import type { ShownPicture } from '../../src/train/trainer_options.ts';
import { drawPicture } from '../../src/view/pictures.ts';
import { createPlot, LossCurve } from '../../src/view/plot.ts';
import type { Run, RunView } from './run.ts';

const NONE = '–';

export class View implements RunView {
  private readonly numbers: HTMLElement;
  private readonly plotPlace: HTMLElement;
  private readonly pictures: HTMLElement;
  private curve = new LossCurve(() => 0);
  private plot: uPlot | undefined;
  private readonly canvases = new Map<string, HTMLCanvasElement>();
  private readonly texts = new Map<string, HTMLElement>();

  constructor(numbers: HTMLElement, plotPlace: HTMLElement, pictures: HTMLElement) {
    this.numbers = numbers;
    this.plotPlace = plotPlace;
    this.pictures = pictures;
    new ResizeObserver(() => this.resize()).observe(plotPlace);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.createPlot());
    this.reset();
  }

  /** As before the first step of a run, or of none. */
  reset(): void {
    this.curve = new LossCurve(() => 0);
    this.createPlot();
    this.pictures.replaceChildren();
    this.canvases.clear();
    this.texts.clear();
  }

  showProgress({ trainer, curve, latest, lastEpoch }: Run): void {
    const { step, totalSteps, terms, batch, epochs } = trainer;
    const epoch = Math.min(trainer.epoch, epochs);
    this.showNumbers([
      ['step', `${step}`, ` / ${totalSteps}`],
      ['epoch', `${epoch}`, ` / ${epochs}`],
      ...terms.map((name) => {
        const { label, text } = describeTerm(name, Number(latest?.[name]));
        return [label, latest ? text : NONE] as const;
      }),
      ...terms
        .filter((name) => name === 'loss' || name === 'accuracy')
        .map(
          (name) => [`test ${name}`, lastEpoch?.test ? describeTerm(name, lastEpoch.test[name]!).text : NONE] as const,
        ),
      ['ms/step', latest ? latest.msPerStep.toFixed(latest.msPerStep < 10 ? 2 : 0) : NONE],
      [
        'images' in trainer.data.train.tensors ? 'images/s' : 'windows/s',
        latest ? Math.round((1000 * batch) / latest.msPerStep).toLocaleString('en') : NONE,
      ],
    ]);
    this.curve = curve;
    this.plot?.setData(curve.data);
  }

  showPictures(pictures: readonly ShownPicture[]): void {
    for (const picture of pictures) {
      drawPicture(this.canvases.get(picture.name) ?? this.addPicture(picture), picture);
    }
  }

  /** Each in a card of its own, under what it shows. */
  showTexts(texts: readonly ShownText[]): void {
    for (const { name, caption, text } of texts) {
      let place = this.texts.get(name);
      if (!place) {
        const note = document.createElement('small');
        note.textContent = caption;
        const heading = document.createElement('h2');
        heading.append(`${name[0]?.toUpperCase()}${name.slice(1)} `, note);
        place = document.createElement('pre');
        place.className = 'text';
        const section = document.createElement('section');
        section.className = 'card';
        section.append(heading, place);
        this.pictures.append(section);
        this.texts.set(name, place);
      }
      place.textContent = text;
    }
  }

  private showNumbers(entries: readonly (readonly [label: string, value: string, total?: string])[]): void {
    this.numbers.replaceChildren(
      ...entries.map(([label, value, total = '']) => {
        const group = document.createElement('div');
        const term = document.createElement('dt');
        const description = document.createElement('dd');
        const rest = document.createElement('small');
        term.textContent = label;
        rest.textContent = total;
        description.append(value, rest);
        group.append(term, description);
        return group;
      }),
    );
  }

  private addPicture({ name, caption }: ShownPicture): HTMLCanvasElement {
    const canvas = document.createElement('canvas');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${name}: ${caption}`);
    const note = document.createElement('small');
    note.textContent = caption;
    const heading = document.createElement('h2');
    heading.append(`${name[0]?.toUpperCase()}${name.slice(1)} `, note);
    const section = document.createElement('section');
    section.className = 'card';
    section.append(heading, canvas);
    this.pictures.append(section);
    this.canvases.set(name, canvas);
    return canvas;
  }

  private createPlot(): void {
    const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name);
    this.plot?.destroy();
    this.plot = createPlot(this.curve, this.plotPlace, {
      width: this.plotPlace.clientWidth,
      height: 300,
      font: '12px system-ui, sans-serif',
      style: {
        text: color('--muted'),
        grid: color('--line'),
        steps: color('--steps'),
        train: color('--accent'),
        test: color('--test'),
      },
    });
  }

  private resize(): void {
    this.plot?.setSize({ width: this.plotPlace.clientWidth, height: 300 });
  }
}
