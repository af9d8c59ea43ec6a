/** The probabilities of the expressions over time, stacked. */

import { clock } from "../locales/translate";
import type { TimeSteps } from "../predictions/history";
import { colourOf } from "./colours";
import { sharpCanvas } from "./elements";

/** Width of a step in CSS pixels. */
const STEP_PX = 3;

/** A moment is drawn for this long; a longer time without the face stays empty. */
const HOLD_SECONDS = 1;

/** How many times are written below the timeline. */
const TICKS = 5;

/** What the timeline shows at one time. */
export interface Reading {
  seconds: number;
  /** So many of a second's are worth showing. */
  decimals: number;
  probabilities: Record<string, number>;
}

/** How many steps of time fit on the canvas. */
export function stepCount(canvas: HTMLCanvasElement): number {
  return Math.max(Math.floor(canvas.clientWidth / STEP_PX), 1);
}

/** Draw the steps, with a line at the middle of the height and one at the place of the pointer, 0..1. */
export function drawTimeline(canvas: HTMLCanvasElement, steps: TimeSteps, pointer: number | null): void {
  const { context, width, height } = sharpCanvas(canvas);
  for (const { step, until, probabilities } of blocks(steps)) {
    // Whole pixels: the background would show between fractions of pixels.
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

/** What is drawn at a place of the timeline, 0..1; null where the face was not in view. */
export function readingAt(steps: TimeSteps, place: number): Reading | null {
  const at = Math.min(Math.floor(place * steps.count), steps.count - 1);
  const block = blocks(steps).find(({ step, until }) => step <= at && at < until);
  const span = steps.end - steps.start;
  return block
    ? { seconds: steps.start + place * span, decimals: decimalsFor(span), probabilities: block.probabilities }
    : null;
}

/** Times at equal distances, the first and the last included. */
export function ticks(start: number, end: number): string[] {
  const decimals = decimalsFor(end - start);
  return Array.from({ length: TICKS }, (_, index) => clock(start + (index * (end - start)) / (TICKS - 1), decimals));
}

/** Decimals of a second that tell the times of a span apart: of 10 s on none, of a clip of 2 s one. */
function decimalsFor(seconds: number): number {
  return Math.min(Math.max(Math.ceil(1 - Math.log10(seconds)), 0), 2);
}

/** Each step that has probabilities, and the step until which they are drawn. */
function blocks(steps: TimeSteps): { step: number; until: number; probabilities: Record<string, number> }[] {
  const hold = Math.ceil((HOLD_SECONDS / (steps.end - steps.start)) * steps.count);
  const means = steps.means();
  return means.map(({ step, probabilities }, index) => {
    const next = means[index + 1]?.step ?? step + 1;
    return { step, until: step + Math.min(next - step, hold), probabilities };
  });
}
