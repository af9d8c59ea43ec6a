import type { FoundFace } from "./box";

/** Side of the detector's cells in pixels of the picture that it sees. */
export const CELL_PX = 32;

/** Width and height in cells of the five boxes that each cell adjusts: those of tiny face detector. */
const ANCHORS: [number, number][] = [
  [1.603231, 2.094468],
  [6.041143, 7.080126],
  [2.882459, 3.518061],
  [4.266906, 5.178857],
  [9.041765, 10.66308],
];

/**
 * Boxes from what the detector says: for each anchor five planes of rows x columns numbers (centre across and down
 * within the cell as logits, width and height as logarithms of factors, score as a logit). Redmon & Farhadi, YOLO9000, 2017.
 *
 * Boxes are in pixels of the picture that the detector saw; those of a score up to `least` are left out.
 */
export function decode(cells: Float32Array, rows: number, columns: number, least: number): FoundFace[] {
  const plane = rows * columns;
  const faces: FoundFace[] = [];
  ANCHORS.forEach(([across, down], anchor) => {
    for (let cell = 0; cell < plane; cell += 1) {
      const value = (which: number) => cells[(anchor * 5 + which) * plane + cell]!;
      const score = logistic(value(4));
      if (score <= least) continue;
      const width = Math.exp(value(2)) * across * CELL_PX;
      const height = Math.exp(value(3)) * down * CELL_PX;
      const left = ((cell % columns) + logistic(value(0))) * CELL_PX - width / 2;
      const top = (Math.floor(cell / columns) + logistic(value(1))) * CELL_PX - height / 2;
      faces.push({ box: { left, top, width, height }, score });
    }
  });
  return faces;
}

function logistic(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
