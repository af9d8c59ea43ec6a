/** Shares of the expressions over time, one upon the other. */

import type { Steps } from "../readings/history";
import { colourOf } from "./colours";
import { sharpCanvas } from "./elements";

/** Side of a step in CSS pixels. */
const STEP_PX = 3;

/** For as long after a moment its shares are drawn; a longer time without the face stays empty. */
const HOLD_SECONDS = 1;

/** How many steps of time a timeline has room for. */
export function stepsOn(canvas: HTMLCanvasElement): number {
  return Math.max(Math.floor(canvas.clientWidth / STEP_PX), 1);
}

export function drawTimeline(canvas: HTMLCanvasElement, steps: Steps): void {
  const { context, width, height } = sharpCanvas(canvas);
  const hold = Math.ceil((HOLD_SECONDS / (steps.end - steps.start)) * steps.count);
  const means = steps.means();
  means.forEach(({ step, shares }, place) => {
    const next = means[place + 1]?.step ?? step + 1;
    // Whole pixels: between halves the ground would shine through.
    const left = Math.floor((step * width) / steps.count);
    const right = Math.ceil(((step + Math.min(next - step, hold)) * width) / steps.count);
    let top = 0;
    Object.entries(shares).forEach(([name, share], index) => {
      context.fillStyle = colourOf(name, index);
      context.fillRect(left, top, right - left, share * height + 0.5);
      top += share * height;
    });
  });
}

/** 75 -> "1:15". */
export function clock(seconds: number): string {
  const whole = Math.max(Math.floor(seconds), 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
