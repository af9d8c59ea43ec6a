import type { DetectedFace } from "./box";

/** Side of the detector's cells, in pixels of its input. */
export const CELL_PX = 32;

/** Width and height, in cells, of the five anchors that the tiny face detector has in each cell. */
const ANCHORS: [number, number][] = [
  [1.603231, 2.094468],
  [6.041143, 7.080126],
  [2.882459, 3.518061],
  [4.266906, 5.178857],
  [9.041765, 10.66308],
];

/**
 * Decode boxes from the detector's output. Each anchor has five planes of rows x columns values: centre x and y within
 * the cell as logits, width and height as logarithms of factors, score as a logit. Redmon & Farhadi, YOLO9000, 2017.
 *
 * Boxes are in pixels of the detector's input. Only boxes with a score above `minScore` are returned.
 */
export function decodeBoxes(cells: Float32Array, rows: number, columns: number, minScore: number): DetectedFace[] {
  const plane = rows * columns;
  const faces: DetectedFace[] = [];
  ANCHORS.forEach(([anchorWidth, anchorHeight], anchor) => {
    for (let cell = 0; cell < plane; cell += 1) {
      const value = (which: number) => cells[(anchor * 5 + which) * plane + cell]!;
      const score = sigmoid(value(4));
      if (score <= minScore) continue;
      const width = Math.exp(value(2)) * anchorWidth * CELL_PX;
      const height = Math.exp(value(3)) * anchorHeight * CELL_PX;
      const left = ((cell % columns) + sigmoid(value(0))) * CELL_PX - width / 2;
      const top = (Math.floor(cell / columns) + sigmoid(value(1))) * CELL_PX - height / 2;
      faces.push({ box: { left, top, width, height }, score });
    }
  });
  return faces;
}

/** Two scores in each of `plane` cells, from the detector's output: of the smallest anchor, and the highest of all. */
export function scoresOf(cells: Float32Array, plane: number): { smallest: Float32Array; highest: Float32Array } {
  const smallest = cells.slice(4 * plane, 5 * plane).map(sigmoid);
  const highest = smallest.slice();
  for (let anchor = 1; anchor < ANCHORS.length; anchor += 1) {
    for (let cell = 0; cell < plane; cell += 1) {
      highest[cell] = Math.max(highest[cell]!, sigmoid(cells[(anchor * 5 + 4) * plane + cell]!));
    }
  }
  return { smallest, highest };
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
