/** Python's face crops and probabilities for some images; see make_vectors.py. */

import { readFileSync } from "node:fs";
import path from "node:path";

interface Vectors {
  /** By output. */
  classes: Record<string, string[]>;
  size_px: number;
  images: { name: string; file: string; crop: string; sharpness: number; probabilities: Record<string, number[]> }[];
  resized: { width: number; height: number; data: number[] }[];
  /** Crops of 48 pixels; which pairs of them Python takes for near-copies, with the lowest correlation of these and the highest of others. */
  copies: { crops: string[]; pairs: [number, number][]; near: boolean[]; least: number; most: number };
  /** Red, green and blue of noise, and of its copies. */
  coloured: { width: number; height: number; data: number[] }[];
}

export const vectors = JSON.parse(readFileSync(path.join(import.meta.dirname, "vectors.json"), "utf8")) as Vectors;
