// Oracle: Pillow and mien.base.preprocess, through vectors.json; values by hand.
import { describe, expect, test, vi } from "vitest";

import type { Landmarks } from "../../src/faces/box";
import { cut, sharpness, squareAround } from "../../src/faces/crop";
import { roundHalfEven, toGrey } from "../../src/preprocess/image";
import { toFaceCrop, toInput } from "../../src/preprocess/input";
import { resizeColour, resizeGrey } from "../../src/preprocess/resize";
import { vectors } from "../vectors";
import { openImage } from "../../src/sources/image_file";
import { CameraFrames } from "../../src/sources/frames";

describe("resize", () => {
  const [noise, ...wanted] = vectors.resized;
  const image = { width: noise!.width, height: noise!.height, data: Uint8Array.from(noise!.data) };

  test.each(wanted)("to $width x $height is Pillow's, bit for bit", ({ width, height, data }) => {
    expect([...resizeGrey(image, width, height).data]).toEqual(data);
  });

  test.each(vectors.coloured.slice(1))("in colour to $width x $height is Pillow's within a level", ({ width, height, data }) => {
    const [source] = vectors.coloured;
    const rgba = (of: number[]) => Uint8Array.from(of.flatMap((value, at) => (at % 3 === 2 ? [value, 255] : [value])));
    const { data: ours } = resizeColour({ width: source!.width, height: source!.height, data: rgba(source!.data) }, width, height);
    rgba(data).forEach((value, at) => at % 4 === 3 || expect(Math.abs(ours[at]! - value)).toBeLessThanOrEqual(1));
  });
});

test("grey is ITU-R 601 luma, rounded", () => {
  const data = Uint8Array.from([255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 9, 9, 9, 0]);
  expect([...toGrey({ width: 4, height: 1, data }).data]).toEqual([76, 150, 29, 9]);
});

describe("face crop", () => {
  test("is padded with border pixels, the odd one below", () => {
    const image = { width: 3, height: 2, data: Uint8Array.from([1, 2, 3, 4, 5, 6]) };
    expect([...toFaceCrop(image, 3)]).toEqual([1, 2, 3, 4, 5, 6, 4, 5, 6]);
  });

  test("a crop of the right size stays as it is", () => {
    const image = vectors.images.find(({ name }) => name === "as-it-is.png")!;
    const crop = new Uint8Array(Buffer.from(image.crop, "base64"));
    expect(toFaceCrop({ width: 48, height: 48, data: crop }, 48)).toEqual(crop);
  });
});

test.each(vectors.images)("sharpness of $name is Python's", ({ crop, sharpness: expected }) => {
  expect(sharpness(new Uint8Array(Buffer.from(crop, "base64")), vectors.size_px)).toBeCloseTo(expected, 5);
});

test("the input is the central crop, normalised in single precision", () => {
  const crop = Uint8Array.from({ length: 16 }, (_, index) => index * 10);
  const input = toInput([crop], { size_px: 4, crop_px: 2, mean: 0.5, std: 0.25 });
  expect([...input]).toEqual([50, 60, 90, 100].map((pixel) => expect.closeTo((pixel / 255 - 0.5) / 0.25, 6)));
});

describe("cut", () => {
  test("the region is a square around the box, or lies where eyes and mouth are", () => {
    const box = { left: 10, top: 20, width: 40, height: 50 };
    // 0.94 * 50 = 47.
    expect(squareAround(box)).toEqual({ left: 6, top: 22, side: 47 });
    // From (30, 30) to (34, 70) are 40.2: a side of 99.0 by them, so 68.2; the middle is (32, 50 - 5.8).
    const landmarks: Landmarks = { right_eye: [20, 29], left_eye: [40, 31], nose: [0, 0], right_mouth_corner: [26, 68], left_mouth_corner: [42, 72] };
    expect(squareAround(box, landmarks)).toEqual({ left: -2, top: 10, side: 68 });
  });

  test("border pixels repeat beyond the image", () => {
    const data = Uint8Array.from([10, 20, 30, 40].flatMap((grey) => [grey, grey, grey, 255]));
    const grey = cut({ width: 2, height: 2, data }, { left: -1, top: 0, side: 3 });
    expect([...grey.data]).toEqual([10, 10, 20, 30, 30, 40, 30, 30, 40]);
  });
});

test("halves go to the even neighbour, as in Python", () => {
  const values = [0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6];
  expect(values.map((value) => roundHalfEven(value) + 0)).toEqual([0, 2, 2, 0, -2, 2, 3]);
});

test("the newest of a camera's frames that come while one is used is next, with its own time, unless the camera is stopped", async () => {
  // A browser may show the next frame while this one is read.
  const context = { drawImage: () => {}, getImageData: () => ((video.currentTime += 1), {}) };
  vi.stubGlobal("OffscreenCanvas", class { getContext = () => context; });
  let show = (_now: number, _frame: { mediaTime: number }) => {};
  const video = { videoWidth: 4, videoHeight: 3, currentTime: 0, requestVideoFrameCallback: (callback: typeof show) => (show = callback) };
  const frames = new CameraFrames(video as unknown as HTMLVideoElement);
  const used: number[] = [];
  const finished = frames.forEach(async (_frame, seconds) => {
    used.push(seconds);
    show(0, { mediaTime: video.currentTime });
    show(0, { mediaTime: (video.currentTime += 1) });
    if (used.length === 2) frames.stop();
  });
  show(0, { mediaTime: 0 });
  await finished;
  expect(used).toEqual([0, 2]);
  vi.unstubAllGlobals();
});

test("the memory of an image that is too large is freed", async () => {
  const close = vi.fn();
  vi.stubGlobal("createImageBitmap", async () => ({ width: 20_000, height: 5001, close }));
  await expect(openImage(new Blob())).rejects.toMatchObject({ code: "image-too-large" });
  expect(close).toHaveBeenCalledOnce();
  vi.unstubAllGlobals();
});
