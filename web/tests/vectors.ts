/** What Python says of some pictures; see make_vectors.py. */

import { readFileSync } from "node:fs";
import path from "node:path";

interface Vectors {
  classes: string[];
  size_px: number;
  pictures: { name: string; file: string; square: string; probabilities: number[] }[];
  resized: { width: number; height: number; data: number[] }[];
}

export const vectors = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "vectors.json"), "utf8"),
) as Vectors;
