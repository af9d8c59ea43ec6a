/** Readings as a file: each in the shape of mien's Reading.to_dict(), those of a video with their time and face. */

import type { Reading } from "./readings/reading";

export type Answer = Reading & { time_seconds?: number; face?: number };

export function asJson(answers: Answer[]): string {
  return `${JSON.stringify(answers, null, 2)}\n`;
}

/** Have the browser save a text as a file. */
export function save(text: string, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
