// Oracle: areas and sigmoids by hand.
import { afterEach, describe, expect, test, vi } from "vitest";

import { decodeBoxes } from "../../src/faces/anchors";
import { clipped, iou, mergeAgreeing, suppressOverlaps } from "../../src/faces/box";
import { brightened } from "../../src/faces/brightness";
import { Checker, featuresOf } from "../../src/faces/checker";
import { Detector } from "../../src/faces/detector";
import { Look, regionsAround } from "../../src/faces/look";
import { Proposer } from "../../src/faces/proposer";
import { fetchBytes, Network } from "../../src/model/runtime";
import type { DecodedImage } from "../../src/preprocess/image";
import { vectors } from "../vectors";

const box = (left: number, top: number, side: number) => ({ left, top, width: side, height: side });

test("a dark image is stretched until its brightest pixels are white, each colour by itself; no other image is", () => {
  const stretched = (level: number) => {
    const data = new Uint8Array(40 * 40 * 4).fill(level);
    // The second pixel is not in the sample.
    data.set([10, 90, 1, 255], 4);
    return [...brightened({ width: 40, height: 40, data }).data.slice(4, 8)];
  };
  expect(stretched(50)).toEqual([51, 255, 5, 255]);
  expect(stretched(2)).toEqual([255, 255, 31, 255]);
  expect(stretched(200)).toEqual([10, 90, 1, 255]);
});

test("eyes and mouth lie between the landmarks of the check", () => {
  const x = [0.3, 0.5, 0.9, 0.4, 0.8];
  const y = [0.2, 0.4, 0.9, 0.7, 0.5];
  const { eyes, mouth } = featuresOf({ left: 10, top: 20, side: 100 }, Float32Array.from([9, 9, 9, 9, 9, 9, ...x, ...y]));
  [...eyes, ...mouth].forEach((value, index) => expect(value).toBeCloseTo([50, 50, 70, 80][index]!, 4));
});

test("IoU is intersection over union", () => {
  expect(iou(box(0, 0, 10), box(5, 0, 10))).toBeCloseTo(50 / 150, 12);
  expect(iou(box(0, 0, 10), box(10, 0, 10))).toBe(0);
});

test("a box is clipped to the image, and keeps a pixel", () => {
  expect(clipped({ left: -5, top: 10, width: 20, height: 40 }, 50, 30)).toEqual({ left: 0, top: 10, width: 15, height: 20 });
  expect(clipped(box(90, 90, 5), 50, 30)).toEqual({ left: 49, top: 29, width: 1, height: 1 });
});

test("the box with the best score of each face stays, and the largest comes first", () => {
  const faces = [
    { box: box(0, 0, 10), score: 0.6 },
    { box: box(1, 0, 10), score: 0.9 },
    { box: box(100, 0, 30), score: 0.7 },
  ];
  expect(suppressOverlaps(faces, 0.4)).toEqual([faces[2], faces[1]]);
});

test("of a box and one mostly inside it, the one with the better score stays", () => {
  const faces = [
    { box: box(0, 0, 30), score: 0.6 },
    { box: box(2, 2, 10), score: 0.9 },
    { box: box(25, 25, 10), score: 0.5 },
  ];
  expect(suppressOverlaps(faces, 0.3)).toEqual([faces[1], faces[2]]);
});

test("boxes of several looks that agree become their mean, weighted by squared scores, with the sum of the looks' scores", () => {
  const looks = [
    [
      { box: box(0, 0, 10), score: 0.8 },
      { box: box(0, 1, 10), score: 0.4 },
    ],
    [
      { box: box(1, 0, 10), score: 0.4 },
      { box: box(50, 50, 10), score: 0.9 },
    ],
  ];
  const [both, alone] = mergeAgreeing(looks, 0.4);
  // Weights 0.64, 0.16 and 0.16; of the first look only its best score counts.
  expect(both!.score).toBeCloseTo(1.2, 12);
  expect(both!.box.left).toBeCloseTo(0.16 / 0.96, 12);
  expect(both!.box.top).toBeCloseTo(0.16 / 0.96, 12);
  expect(both!.box.width).toBeCloseTo(10, 12);
  expect(alone!.box.left).toBeCloseTo(50, 12);
  expect(alone!.score).toBeCloseTo(0.9, 12);
});

test.each(vectors.regions)("the areas around hints are Python's", ({ mask, areas }) => {
  const cells = mask.flat().map(Boolean);
  expect(regionsAround(cells, mask.length, mask[0]!.length)).toEqual(areas);
});

test("an area is around cells with a hint that no box touches, in pixels of the image", () => {
  // Cells of 64 pixels: the hints are in the cells (1, 1) and (5, 5) of 8 x 8, and a box lies on the second one.
  const look = new Look(256, 64, 8, 8);
  look.smallest[8 + 1] = look.smallest[8 * 5 + 5] = 0.02;
  expect(look.areas(look.smallest, 0.01, [box(5 * 64 + 10, 5 * 64 + 10, 20)])).toEqual([[0, 0, 192, 192]]);
  expect(look.areas(look.smallest, 0.03, [])).toEqual([]);
  expect(look.cells([10, 70, 130, 600])).toEqual([0, 1, 3, 8]);
});

describe("boxes from cells", () => {
  test("an anchor is in the middle of its cell, in its own size", () => {
    const cells = new Float32Array(25 * 6);
    // Second anchor, second row, third column of 2 x 3 cells; all other scores are 0.5 and not above it.
    cells[(1 * 5 + 4) * 6 + 5] = 3;
    const faces = decodeBoxes(cells, 2, 3, 0.5);
    expect(faces).toHaveLength(1);
    expect(faces[0]!.score).toBeCloseTo(1 / (1 + Math.exp(-3)), 6);
    expect(faces[0]!.box.width).toBeCloseTo(6.041143 * 32, 4);
    expect(faces[0]!.box.left + faces[0]!.box.width / 2).toBeCloseTo(2.5 * 32, 4);
    expect(faces[0]!.box.top + faces[0]!.box.height / 2).toBeCloseTo(1.5 * 32, 4);
  });
});

describe("copies that are searched", () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  const imageOf = (longer: number) => {
    const size = { width: longer, height: 8 };
    return { ...size, pixels: { ...size, data: new Uint8ClampedArray(longer * 8 * 4).fill(255) } } as unknown as DecodedImage;
  };

  /** A detector whose networks see faces of these scores, and the sides of the copies that it searches, of images up to `longer`. */
  const detectorOf = async (longer: number, ...scores: number[]) => {
    vi.stubGlobal("OffscreenCanvas", class {});
    const sides: number[] = [];
    const look = async (image: { width: number }, side: number) => {
      sides.push(side);
      await new Promise((resolve) => setTimeout(resolve));
      return new Look(side, (32 * image.width) / side, 1, 1);
    };
    const seen = async () => scores.map((score) => ({ box: box(0, 0, longer / 4), score }));
    vi.spyOn(Proposer, "load").mockResolvedValue({ look, lookTilted: async () => [] } as unknown as Proposer);
    vi.spyOn(Checker, "load").mockResolvedValue({ check: seen, follow: seen } as unknown as Checker);
    return { detector: await Detector.load(), sides };
  };

  const sidesOf = async (longer: number, isLive: boolean) => {
    const { detector, sides } = await detectorOf(longer);
    expect(await detector.startVideo(isLive)(imageOf(longer), [], 0)).toEqual([]);
    return sides;
  };

  test("no close-up is searched where the face scores less than the user's limit", async () => {
    const { detector } = await detectorOf(480, 0.6);
    expect(await detector.detectInImage(imageOf(480))).toHaveLength(1);
    detector.minScore = 0.8;
    expect(await detector.detectInImage(imageOf(480))).toEqual([]);
  });

  test("a lower limit of the user adds faces", async () => {
    const { detector } = await detectorOf(480, 0.4);
    expect(await detector.startVideo(true)(imageOf(480), [], 0)).toEqual([]);
    detector.minScore = 0.3;
    expect(await detector.startVideo(true)(imageOf(480), [], 0)).toHaveLength(1);
    expect(await detector.detectInImage(imageOf(480))).toHaveLength(1);
  });

  test("images wait for one another", async () => {
    const { detector, sides } = await detectorOf(480, 0.6);
    await Promise.all([480, 240].map((longer) => detector.detectInImage(imageOf(longer))));
    expect(sides).toEqual([320, 640, 960, 320, 480]);
  });

  test("each video has its own times of search; after a jump back it is searched at once", async () => {
    const { detector, sides } = await detectorOf(320, 0.9);
    const [one, other] = [detector.startVideo(true), detector.startVideo(true)];
    const isSearched = async (detect: typeof one, seconds: number) => {
      sides.length = 0;
      await detect(imageOf(320), [box(0, 0, 80)], seconds);
      return sides.length > 0;
    };
    expect([await isSearched(one, 9), await isSearched(one, 9.1), await isSearched(other, 2), await isSearched(one, 9.15)]).toEqual([true, false, true, false]);
    expect([await isSearched(one, 0), await isSearched(one, 0.1)]).toEqual([true, false]);
  });

  test.each([
    [400, [320]],
    [401, [320, 401]],
    [480, [320, 480]],
    [640, [320, 640]],
    [960, [320, 640, 960]],
    [1280, [320, 640, 1280]],
  ])("a camera's of %d pixels is not enlarged", async (longer, sides) => {
    expect(await sidesOf(longer, true)).toEqual(sides);
  });

  test("a video file's is enlarged to at most twice its size", async () => {
    expect(await sidesOf(480, false)).toEqual([320, 640, 960]);
    expect(await sidesOf(1280, false)).toEqual([320, 640, 1280]);
  });
});

test("a network waits until another one has run, even if that one fails", async () => {
  let running = 0;
  const run = async () => {
    if ((running += 1) > 1) throw new Error("entered twice");
    await new Promise((resolve) => setTimeout(resolve));
    running -= 1;
    throw new Error("failed");
  };
  const networks = [1, 2].map(() => new Network({ run } as unknown as ConstructorParameters<typeof Network>[0]));
  const results = await Promise.allSettled(networks.map((network) => network.run({}, [])));
  expect(results.map((result) => result.status === "rejected" && String(result.reason))).toEqual(["Error: failed", "Error: failed"]);
});

test("a file is read in browsers whose responses have no bytes()", async () => {
  const response = { ok: true, headers: new Headers(), clone: () => response, arrayBuffer: async () => Uint8Array.of(1, 2).buffer };
  vi.stubGlobal("fetch", async () => response);
  expect(await fetchBytes(new URL("https://host/model.onnx"))).toEqual(Uint8Array.of(1, 2));
  vi.unstubAllGlobals();
});
