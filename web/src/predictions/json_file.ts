/** Predictions as a JSON file: each in the shape of mien's Prediction.to_dict(); in a video with its time and face. */

import type { Prediction } from "./prediction";

export type SavedPrediction = Prediction & { time_seconds?: number; face?: number };

export function asJson(predictions: SavedPrediction[]): string {
  return `${JSON.stringify(predictions, null, 2)}\n`;
}

/** Let the browser save a text as a file. */
export function saveFile(text: string, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
