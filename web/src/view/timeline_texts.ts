/** Texts around the timeline: the legend, the times, and the values at the pointer. */

import { clock, expression, percent, translate } from "../locales/translate";
import { colourOf } from "./colours";
import { copiesOf, element, resizeChildren, setText } from "./elements";
import { type Reading, ticks } from "./timeline";

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
