import { CELL_PX, decodeBoxes, scoresOf } from "./anchors";
import type { Box, DetectedFace } from "./box";

/** Left, top, right and bottom, in pixels of an image or in cells; right and bottom are exclusive. */
export type Area = [number, number, number, number];

/** If regions cover more of the image than this, they are replaced by one. The value is that of mien.faces.face. */
const MOSTLY = 0.8;

/** Proposals in one copy of an image: boxes in pixels of the image, and scores in cells. As in mien.faces.network. */
export class Look {
  faces: DetectedFace[] = [];
  /** Score of the smallest anchor, and the highest of all, in each cell; 0 where the copy was not searched. */
  readonly smallest: Float32Array;
  readonly highest: Float32Array;

  constructor(
    readonly side: number,
    /** Side of a cell in pixels of the image. */
    readonly cellPx: number,
    readonly rows: number,
    readonly columns: number,
  ) {
    this.smallest = new Float32Array(rows * columns);
    this.highest = new Float32Array(rows * columns);
  }

  /** Add the network's output for some cells. */
  add([left, top, right, bottom]: Area, output: Float32Array, minScore: number): void {
    const [rows, columns] = [bottom - top, right - left];
    const scale = this.cellPx / CELL_PX;
    for (const { box, score } of decodeBoxes(output, rows, columns, minScore)) {
      this.faces.push({
        score,
        box: {
          left: (box.left + left * CELL_PX) * scale,
          top: (box.top + top * CELL_PX) * scale,
          width: box.width * scale,
          height: box.height * scale,
        },
      });
    }
    const { smallest, highest } = scoresOf(output, rows * columns);
    for (let row = 0; row < rows; row += 1) {
      const to = (top + row) * this.columns + left;
      this.smallest.set(smallest.subarray(row * columns, (row + 1) * columns), to);
      this.highest.set(highest.subarray(row * columns, (row + 1) * columns), to);
    }
  }

  /** Areas of the image around cells that score more than `hint` and that no box touches. */
  areas(scores: Float32Array, hint: number, boxes: Box[]): Area[] {
    const mask = [...scores].map((score) => score > hint);
    for (const { left, top, width, height } of boxes) {
      const cell = (length: number, most: number) => Math.min(Math.max(length, 0), most);
      const bottom = cell(Math.ceil((top + height) / this.cellPx), this.rows);
      const right = cell(Math.ceil((left + width) / this.cellPx), this.columns);
      for (let row = cell(Math.floor(top / this.cellPx), this.rows); row < bottom; row += 1) {
        const first = cell(Math.floor(left / this.cellPx), this.columns);
        if (first < right) mask.fill(false, row * this.columns + first, row * this.columns + right);
      }
    }
    return regionsAround(mask, this.rows, this.columns).map((area) => area.map((edge) => edge * this.cellPx) as Area);
  }

  /** The whole cells that an area in pixels of the image touches. */
  cells([left, top, right, bottom]: Area): Area {
    return [
      Math.floor(left / this.cellPx),
      Math.floor(top / this.cellPx),
      Math.min(Math.ceil(right / this.cellPx), this.columns),
      Math.min(Math.ceil(bottom / this.cellPx), this.rows),
    ];
  }
}

/** Disjoint rectangles around true cells, with a margin of one cell; a single one if they cover most of the image. */
export function regionsAround(mask: boolean[], rows: number, columns: number): Area[] {
  let merged: Area[] = [];
  mask.forEach((isTrue, index) => {
    if (!isTrue) return;
    const [row, column] = [Math.floor(index / columns), index % columns];
    let grown: Area = [column - 1, row - 1, column + 2, row + 2];
    for (;;) {
      // A rectangle that has grown may touch other rectangles.
      const [left, top, right, bottom] = grown;
      const touched = merged.filter((area) => area[0] <= right && area[1] <= bottom && area[2] >= left && area[3] >= top);
      if (!touched.length) break;
      merged = merged.filter((area) => !touched.includes(area));
      const edge = (which: 0 | 1 | 2 | 3) => [grown, ...touched].map((area) => area[which]);
      grown = [Math.min(...edge(0)), Math.min(...edge(1)), Math.max(...edge(2)), Math.max(...edge(3))];
    }
    merged.push(grown);
  });
  const inside = merged.map<Area>(([left, top, right, bottom]) => [
    Math.max(left, 0),
    Math.max(top, 0),
    Math.min(right, columns),
    Math.min(bottom, rows),
  ]);
  const covered = inside.reduce((sum, [left, top, right, bottom]) => sum + (right - left) * (bottom - top), 0);
  return covered > MOSTLY * rows * columns ? [[0, 0, columns, rows]] : inside;
}
