/** Saves predictions, each in the shape of mien's Prediction.to_dict(); in a video with time and track. */

import type { Prediction } from "./prediction";

export type SavedPrediction = Prediction & { time_seconds?: number; track?: number };

/** A row of the table: `face` is its number in the image, 0 for an image without a face. */
export type TableRow = (SavedPrediction & { face?: number }) | { source: string; face: 0 };

export function asJson(predictions: SavedPrediction[]): string {
  return `${JSON.stringify(predictions, null, 2)}\n`;
}

/** Columns that are not one field of a prediction, as `mien predict` names them. */
const SPREAD: Record<string, (value: never) => Record<string, unknown>> = {
  box: ({ left, top, width, height }: NonNullable<Prediction["box"]>) => ({ box_left: left, box_top: top, box_width: width, box_height: height }),
  landmarks: () => ({}),
  probabilities: (values: Prediction["probabilities"]) => values,
};

/** The table that `mien predict` writes: a row for each face, with its place, its answer and a column for each class. */
export function asCsv(rows: TableRow[]): string {
  const cells = rows.map((row) => Object.assign({}, ...Object.entries(row).map(([name, value]) => SPREAD[name]?.(value as never) ?? { [name]: value })) as Record<string, unknown>);
  // A row without a face has few columns.
  const widest = cells.reduce((most, row) => (Object.keys(row).length > Object.keys(most).length ? row : most), {});
  const names = Object.keys(widest);
  const ordered = ["source", ...["time_seconds", "track", "face"].filter((name) => names.includes(name))];
  const columns = [...ordered, ...names.filter((name) => !ordered.includes(name))];
  return [columns, ...cells.map((row) => columns.map((name) => row[name]))].map((line) => `${line.map(cellOf).join(",")}\n`).join("");
}

/** Numbers have six decimals, `;` is between names. A text with a comma, a quote or a line break is quoted. */
function cellOf(value: unknown): string {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toFixed(6);
  const text = Array.isArray(value) ? value.join(";") : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Let the browser save a file. */
export function saveFile(content: string | Uint8Array<ArrayBuffer>, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
