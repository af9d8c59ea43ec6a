/** Shares of the expressions over time, one upon the other. */

import { colourOf } from "./colours";
import { sharpCanvas } from "./elements";

export interface Moment {
  seconds: number;
  probabilities: Record<string, number>;
}

/** Side of a step in CSS pixels. */
const STEP_PX = 3;

/** For as long after a moment its shares are drawn; a longer time without the face stays empty. */
const HOLD_SECONDS = 1;

export function drawTimeline(canvas: HTMLCanvasElement, moments: Moment[], start: number, end: number): void {
  const { context, width, height } = sharpCanvas(canvas);
  const steps = Math.max(Math.floor(width / STEP_PX), 1);
  const hold = Math.ceil((HOLD_SECONDS / (end - start)) * steps);
  const groups = [...bySteps(moments, start, end, steps)].sort(([one], [other]) => one - other);
  groups.forEach(([step, within], place) => {
    const next = groups[place + 1]?.[0] ?? step + 1;
    // Whole pixels: between halves the ground would shine through.
    const left = Math.floor((step * width) / steps);
    const right = Math.ceil(((step + Math.min(next - step, hold)) * width) / steps);
    let top = 0;
    Object.keys(within[0]!.probabilities).forEach((name, index) => {
      const share = within.reduce((sum, { probabilities }) => sum + probabilities[name]!, 0) / within.length;
      context.fillStyle = colourOf(name, index);
      context.fillRect(left, top, right - left, share * height + 0.5);
      top += share * height;
    });
  });
}

/** Moments by the step that they fall into, 0..steps - 1. */
export function bySteps(moments: Moment[], start: number, end: number, steps: number): Map<number, Moment[]> {
  const groups = new Map<number, Moment[]>();
  for (const moment of moments) {
    const step = Math.min(Math.floor(((moment.seconds - start) / (end - start)) * steps), steps - 1);
    if (step < 0 || Number.isNaN(step)) continue;
    const group = groups.get(step);
    if (group) group.push(moment);
    else groups.set(step, [moment]);
  }
  return groups;
}

/** The class that was likeliest in most moments. */
export function mostOften(moments: Moment[]): string | null {
  const counts = new Map<string, number>();
  for (const { probabilities } of moments) {
    const [top] = Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
    counts.set(top, (counts.get(top) ?? 0) + 1);
  }
  return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;
}

/** 75 -> "1:15". */
export function clock(seconds: number): string {
  const whole = Math.max(Math.floor(seconds), 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
