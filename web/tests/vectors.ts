/** Python's face crops and probabilities for some images; see make_vectors.py. */

import { readFileSync } from "node:fs";
import path from "node:path";

interface Vectors {
  /** By output. */
  classes: Record<string, string[]>;
  size_px: number;
  images: { name: string; file: string; crop: string; probabilities: Record<string, number[]> }[];
  resized: { width: number; height: number; data: number[] }[];
  /** Areas around the true cells of masks. */
  regions: { mask: number[][]; areas: [number, number, number, number][] }[];
}

export const vectors = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "vectors.json"), "utf8"),
) as Vectors;
