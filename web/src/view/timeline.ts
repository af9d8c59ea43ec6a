/** Draws the probabilities of the expressions over time, stacked. */

import { likeliest } from "../heads/label";
import { clock, expression, percent, translate } from "../locales/translate";
import { colourOf } from "./colours";
import { copiesOf, element, resizeChildren, setText, sharpCanvas } from "./elements";

/** Width of a step in CSS pixels. */
const STEP_PX = 3;

/** The probabilities at a moment are drawn for at most this time, so longer gaps stay empty. */
const HOLD_SECONDS = 1;

/** Number of time labels below the timeline. */
const TICKS = 5;

/** Values of the timeline at one time. */
export interface Reading {
  seconds: number;
  /** Number of decimals for times that are useful. */
  decimals: number;
  probabilities: Record<string, number>;
}

/** Number of time steps that fit on the canvas. */
export function stepCount(canvas: HTMLCanvasElement): number {
  return Math.max(Math.floor(canvas.clientWidth / STEP_PX), 1);
}

/** Draw the steps, with a line at half height and one at the pointer, 0..1. */
export function drawTimeline(canvas: HTMLCanvasElement, steps: TimeSteps, pointer: number | null): void {
  const { context, width, height } = sharpCanvas(canvas);
  for (const { step, until, probabilities } of blocks(steps)) {
    // Use whole pixels, because the background would be visible between fractions of pixels.
    const left = Math.floor((step * width) / steps.count);
    const right = Math.ceil((until * width) / steps.count);
    let top = 0;
    Object.entries(probabilities).forEach(([name, probability], which) => {
      context.fillStyle = colourOf(name, which);
      context.fillRect(left, top, right - left, probability * height + 0.5);
      top += probability * height;
    });
  }
  context.fillStyle = getComputedStyle(canvas).color;
  context.globalAlpha = 0.35;
  context.fillRect(0, height / 2, width, 1);
  context.globalAlpha = 1;
  if (pointer !== null) context.fillRect(Math.round(pointer * width), 0, 1, height);
}

/** Values at a position of the timeline, 0..1; null if the face was not visible. */
export function readingAt(steps: TimeSteps, place: number): Reading | null {
  const at = Math.min(Math.floor(place * steps.count), steps.count - 1);
  const block = blocks(steps).find(({ step, until }) => step <= at && at < until);
  const span = steps.end - steps.start;
  return block
    ? { seconds: steps.start + place * span, decimals: decimalsFor(span), probabilities: block.probabilities }
    : null;
}

/** Equally spaced times, including the first and the last. */
export function ticks(start: number, end: number): string[] {
  const decimals = decimalsFor(end - start);
  return Array.from({ length: TICKS }, (_, index) => clock(start + (index * (end - start)) / (TICKS - 1), decimals));
}

/** Number of decimals needed to distinguish the times of a span: none for 10 s, one for a clip of 2 s. */
export function decimalsFor(seconds: number): number {
  return Math.min(Math.max(Math.ceil(1 - Math.log10(seconds)), 0), 2);
}

/** Each step that has probabilities, and the step up to which they are drawn. */
function blocks(steps: TimeSteps): { step: number; until: number; probabilities: Record<string, number> }[] {
  const hold = Math.ceil((HOLD_SECONDS / (steps.end - steps.start)) * steps.count);
  const means = steps.means();
  return means.map(({ step, probabilities }, index) => {
    const next = means[index + 1]?.step ?? step + 1;
    return { step, until: step + Math.min(next - step, hold), probabilities };
  });
}

/** Number of classes that are named at the pointer. */
const NAMED = 3;

/** Show a colour patch and a name for each class. */
export function showLegend(classes: string[]): void {
  const rows = resizeChildren(element("timeline-legend"), classes.length, copiesOf("legend-entry"));
  classes.forEach((name, index) => {
    const [patch, text] = [...rows[index]!.children] as HTMLElement[];
    patch!.style.background = colourOf(name, index);
    setText(text!, expression(name));
  });
}

export function showTimes(start: number, end: number): void {
  const times = ticks(start, end);
  const spans = resizeChildren(element("timeline-times"), times.length, () => document.createElement("span"));
  times.forEach((time, index) => setText(spans[index]!, time));
  [1, 0.5, 0].forEach((share, index) => setText(element("timeline-shares").children[index] as HTMLElement, percent(share)));
}

/** "0:12: happy 62%, neutral 20%, sad 8%". */
export function showReading(reading: Reading | null): void {
  const text = (name: string, probability: number) => `${expression(name)} ${percent(probability)}`;
  const named = Object.entries(reading?.probabilities ?? {})
    .sort((one, other) => other[1] - one[1])
    .slice(0, NAMED)
    .map(([name, probability]) => text(name, probability));
  const values = reading && { time: clock(reading.seconds, reading.decimals), values: named.join(", ") };
  setText(element("timeline-reading"), values ? translate("reading", values) : translate("reading_hint"));
}

/** Probabilities of the expressions in `count` equal time steps from `start` to `end`. */
export class TimeSteps {
  readonly #steps = new Map<number, { count: number; sums: Record<string, number> }>();
  readonly #topCounts = new Map<string, number>();

  constructor(
    readonly start: number,
    readonly end: number,
    readonly count: number,
  ) {}

  add(seconds: number, probabilities: Record<string, number>): void {
    const fraction = (seconds - this.start) / (this.end - this.start);
    const index = Math.min(Math.floor(fraction * this.count), this.count - 1);
    if (index < 0 || Number.isNaN(index)) return;
    const step = this.#steps.get(index) ?? { count: 0, sums: {} };
    step.count += 1;
    for (const [name, value] of Object.entries(probabilities)) step.sums[name] = (step.sums[name] ?? 0) + value;
    this.#steps.set(index, step);
    const [top] = likeliest(probabilities);
    this.#topCounts.set(top, (this.#topCounts.get(top) ?? 0) + 1);
  }

  /** The mean probabilities of each non-empty step, in order. */
  means(): { step: number; probabilities: Record<string, number> }[] {
    return [...this.#steps]
      .sort(([one], [other]) => one - other)
      .map(([step, { count, sums }]) => ({
        step,
        probabilities: Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count])),
      }));
  }

  /** The class that was the most probable at most times. */
  mostFrequent(): string | null {
    return [...this.#topCounts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;
  }
}
