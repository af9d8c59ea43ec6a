// Oracle: areas by hand, and the steps of mien.faces.find.
import { beforeAll, describe, expect, test, vi } from "vitest";

import { type Box, clipped, iou } from "../../src/faces/box";
import { brightened } from "../../src/faces/crop";
import { Detector } from "../../src/faces/detector";
import { Network } from "../../src/model/runtime";
import type { DecodedImage } from "../../src/preprocess/image";

vi.mock("../../src/model/load_runtime", () => ({ loadRuntime: async () => ({ Tensor: class { constructor(_: string, __: Uint8Array, readonly dims: number[]) {} } }) }));

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

test("IoU is intersection over union", () => {
  expect(iou(box(0, 0, 10), box(5, 0, 10))).toBeCloseTo(50 / 150, 12);
  expect(iou(box(0, 0, 10), box(10, 0, 10))).toBe(0);
});

test("a box is clipped to the image, and keeps a pixel", () => {
  expect(clipped({ left: -5, top: 10, width: 20, height: 40 }, 50, 30)).toEqual({ left: 0, top: 10, width: 15, height: 20 });
  expect(clipped(box(90, 90, 5), 50, 30)).toEqual({ left: 49, top: 29, width: 1, height: 1 });
});

describe("the detector", () => {
  /** What the network finds in a copy of this size. */
  let found: (width: number, height: number) => { box: Box; score: number }[];
  /** Sizes of the copies that were searched. */
  let searched: [number, number][] = [];
  let detector: Detector;
  beforeAll(async () => {
    const run = async ({ pixels: { dims: [height, width] } }: { pixels: { dims: [number, number] } }) => {
      searched.push([width, height]);
      await new Promise((resolve) => setTimeout(resolve));
      const rows = found(width, height).flatMap(({ box: { left, top, width, height }, score }) => [left, top, width, height, score, ...new Array<number>(10).fill(left)]);
      return { faces: { data: Float32Array.from(rows) } };
    };
    detector = Reflect.construct(Detector, [{ run }]) as Detector;
  });

  const imageOf = (width: number, height: number) => {
    const pixels = { width, height, data: new Uint8ClampedArray(width * height * 4).fill(255) };
    return { width, height, pixels } as unknown as DecodedImage;
  };
  const detect = async (given: typeof found, width = 640, height = 480) => {
    [found, searched] = [given, []];
    return detector.detectInImage(imageOf(width, height));
  };
  /** A frame of 640 px, 0.1 s after the one that is searched for small faces. */
  const detectInFrame = async (given: typeof found, known: Box[]) => {
    const detectNext = detector.startVideo(false);
    const frame = imageOf(640, 480);
    [found, searched] = [() => [], []];
    await detectNext(frame, [], 5);
    expect(searched).toEqual([[640, 480]]);
    [found, searched] = [given, []];
    return detectNext(frame, known, 5.1);
  };

  test("searches a copy of at most 640 px, the largest face first, in pixels of the image", async () => {
    const faces = await detect(() => [{ box: box(10, 20, 30), score: 0.95 }, { box: box(100, 20, 60.2), score: 0.9 }], 1280, 960);
    expect(searched).toEqual([[640, 480]]);
    expect(faces.map((face) => face.box)).toEqual([box(200, 40, 120), box(20, 40, 60)]);
    expect(faces[1]!.landmarks!.nose).toEqual([20, 20]);
    await detect(() => [{ box: box(10, 20, 30), score: 0.95 }], 300, 200);
    expect(searched).toEqual([[300, 200]]);
  });

  test("looks at a doubtful face again, in a square of three times its side; the second score counts a third", async () => {
    const square = [{ box: box(160 / 3, 160 / 3, 160 / 3), score: 0.5 }];
    const faces = await detect((width) => (width === 160 ? square : [{ box: box(300, 200, 90), score: 0.8 }]));
    expect(searched).toEqual([[640, 480], [160, 160]]);
    expect(faces[0]!.score).toBeCloseTo(0.8 + 0.35 * (0.5 - 0.8), 6);
    expect(await detect((width) => (width === 160 ? [] : [{ box: box(300, 200, 90), score: 0.8 }]))).toEqual([]);
  });

  test("looks for a face that fills the image, in a small copy with a frame", async () => {
    // 192 px show 640 and two thirds of it: a pixel is 5.56, and the frame is 213 px wide.
    const faces = await detect((width) => (width === 192 ? [{ box: box(60, 50, 72), score: 0.95 }] : []));
    expect(searched).toEqual([[640, 480], [192, 163]]);
    const scale = (640 + 2 * 213) / 192;
    expect(faces[0]!.box).toEqual(box(Math.round(60 * scale - 213), Math.round(50 * scale - 213), Math.round(72 * scale)));
  });

  test("cuts squares and frames out of a smaller copy where they would need too much memory", async () => {
    const wide = { left: 100, top: 20, width: 300, height: 60 };
    const square = { left: 160 / 3, top: (160 - 32 / 3) / 2, width: 160 / 3, height: 32 / 3 };
    const faces = await detect((width) => [{ box: width === 160 ? square : wide, score: 0.7 }], 6400, 1280);
    expect(faces.map((face) => face.box)).toEqual([{ left: 1000, top: 200, width: 3000, height: 600 }]);
    expect(faces[0]!.score).toBeCloseTo(0.7, 6);
    expect(await detect((width) => (width === 192 ? [{ box: box(60, 50, 72), score: 0.95 }] : []), 5000, 1000)).toHaveLength(1);
  });

  test("keeps faces by the user's limit: a lower one finds more, a higher one searches nothing else", async () => {
    const given = (score: number) => (width: number) => (width === 192 ? [] : [{ box: width === 160 ? box(53, 53, 53) : box(300, 200, 90), score }]);
    expect(await detect(given(0.5))).toEqual([]);
    detector.minScore = 0.4;
    expect(await detect(given(0.5))).toHaveLength(1);
    detector.minScore = 0.95;
    expect(await detect(given(0.9))).toEqual([]);
    expect(searched).toEqual([[640, 480]]);
    detector.minScore = 0.56;
  });

  test("searches one image after another", async () => {
    const doubtful: typeof found = (width) => (width === 160 ? [] : [{ box: box(10, 20, 30), score: 0.6 }]);
    await Promise.all([detect(doubtful), detect(doubtful, 320, 240)]);
    expect(searched).toEqual([[640, 480], [160, 160], [192, 163], [160, 160], [320, 240], [160, 160], [192, 163], [160, 160]]);
  });

  test("searches a video's frame at 320 px, and a known face that is missed there where it was", async () => {
    expect(await detectInFrame((width) => (width === 320 ? [{ box: box(100, 100, 40), score: 0.6 }] : []), [box(200, 200, 80)])).toHaveLength(1);
    expect(searched, "a known face needs no second look").toEqual([[320, 240]]);
    expect(await detectInFrame((width) => (width === 320 ? [{ box: box(100, 100, 40), score: 0.6 }] : []), [])).toEqual([]);
    expect(searched, "a new one that is doubtful does").toEqual([[320, 240], [160, 160]]);
    const followed = await detectInFrame((width) => (width === 160 ? [{ box: box(50, 56, 52), score: 0.7 }] : []), [box(200, 200, 40)]);
    expect(followed.map((face) => face.box)).toEqual([box(198, 202, 39)]);
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
