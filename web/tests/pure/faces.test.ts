// Oracle: areas and logistics by hand.
import { describe, expect, test } from "vitest";

import { decode } from "../../src/faces/anchors";
import { overlap, withoutOverlaps } from "../../src/faces/box";
import { reordered } from "../../scripts/detector_graph";

const box = (left: number, top: number, side: number) => ({ left, top, width: side, height: side });

test("overlap is shared over joint area", () => {
  expect(overlap(box(0, 0, 10), box(5, 0, 10))).toBeCloseTo(50 / 150, 12);
  expect(overlap(box(0, 0, 10), box(10, 0, 10))).toBe(0);
});

test("of boxes of one face the surest stays, and the largest comes first", () => {
  const faces = [
    { box: box(0, 0, 10), score: 0.6 },
    { box: box(1, 0, 10), score: 0.9 },
    { box: box(100, 0, 30), score: 0.7 },
  ];
  expect(withoutOverlaps(faces, 0.4)).toEqual([faces[2], faces[1]]);
});

describe("decode", () => {
  test("an anchor in the middle of its cell, at its own size", () => {
    const cells = new Float32Array(25 * 6);
    // Second anchor, second row, third column of 2 x 3 cells; all other scores are 0.5 and not above it.
    cells[(1 * 5 + 4) * 6 + 5] = 3;
    const faces = decode(cells, 2, 3, 0.5);
    expect(faces).toHaveLength(1);
    expect(faces[0]!.score).toBeCloseTo(1 / (1 + Math.exp(-3)), 6);
    expect(faces[0]!.box.width).toBeCloseTo(6.041143 * 32, 4);
    expect(faces[0]!.box.left + faces[0]!.box.width / 2).toBeCloseTo(2.5 * 32, 4);
    expect(faces[0]!.box.top + faces[0]!.box.height / 2).toBeCloseTo(1.5 * 32, 4);
  });
});

test("axes are reordered as numpy's transpose does", () => {
  // np.arange(6).reshape(1, 2, 3).transpose(2, 0, 1).ravel()
  expect([...reordered(Uint8Array.from([0, 1, 2, 3, 4, 5]), [1, 2, 3], [2, 0, 1])]).toEqual([0, 3, 1, 4, 2, 5]);
});
