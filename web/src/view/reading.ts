/** The words of a reading: on the screen, at a box and for a screen reader. */

import { named, type Reading } from "../readings/reading";
import { expression, percent, word } from "../words/words";

/** "happy, 87 %", or that the model is unsure. */
export function answerOf(reading: Reading, least: number): string {
  const key = named(reading, least) === null ? "unsure_perhaps" : "answer";
  return word(key, { expression: expression(reading.top), share: percent(reading.confidence) });
}

/** As short as it stands at a box: "happy 87 %" or "unsure". */
export function captionOf(reading: Reading, least: number): string {
  if (named(reading, least) === null) return word("unsure");
  return `${expression(reading.top)} ${percent(reading.confidence)}`;
}

/** The answer in large letters. */
export function showAnswer(paragraph: HTMLElement, reading: Reading | null, least: number): void {
  const sure = reading && named(reading, least) !== null;
  const large = document.createElement("strong");
  const small = document.createElement("span");
  small.className = "figures";
  if (!reading) {
    small.textContent = word("nothing_yet");
    paragraph.replaceChildren(small);
    return;
  }
  large.textContent = sure ? expression(reading.top) : word("unsure");
  small.textContent = sure
    ? percent(reading.confidence)
    : answerOf(reading, least).replace(word("unsure"), "").replace(/^[,\s]+/, "");
  paragraph.replaceChildren(large, " ", small);
}
