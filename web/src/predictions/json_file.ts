/** Saves predictions as JSON, each in the shape of mien's Prediction.to_dict(); in a video with time and track. */

import type { Prediction } from "./prediction";

export type SavedPrediction = Prediction & { time_seconds?: number; track?: number };

export function asJson(predictions: SavedPrediction[]): string {
  return `${JSON.stringify(predictions, null, 2)}\n`;
}

/** Let the browser save a file. */
export function saveFile(content: string | Uint8Array<ArrayBuffer>, name: string, type = "application/json"): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
