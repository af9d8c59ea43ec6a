// Oracle: Pillow and mien.base.preprocess, through vectors.json; values by hand.
import { describe, expect, test } from "vitest";

import { cut, squareAround } from "../../src/faces/crop";
import { toGrey } from "../../src/preprocess/grey";
import { roundHalfEven } from "../../src/preprocess/image";
import { toInput } from "../../src/preprocess/input";
import { resize } from "../../src/preprocess/resize";
import { toFaceCrop } from "../../src/preprocess/face_crop";
import { vectors } from "../vectors";

describe("resize", () => {
  const [noise, ...wanted] = vectors.resized;
  const image = { width: noise!.width, height: noise!.height, data: Uint8Array.from(noise!.data) };

  test.each(wanted)("to $width x $height is Pillow's, bit for bit", ({ width, height, data }) => {
    expect([...resize(image, width, height).data]).toEqual(data);
  });

  test("to its own size changes nothing", () => {
    expect(resize(image, image.width, image.height)).toBe(image);
  });
});

describe("grey", () => {
  test("is ITU-R 601 luma, rounded", () => {
    const data = Uint8Array.from([255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 9, 9, 9, 0]);
    expect([...toGrey({ width: 4, height: 1, data }).data]).toEqual([76, 150, 29, 9]);
  });
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

describe("input", () => {
  test("is the central crop, normalised in single precision", () => {
    const crop = Uint8Array.from({ length: 16 }, (_, index) => index * 10);
    const input = toInput([crop], { size_px: 4, crop_px: 2, mean: 0.5, std: 0.25 });
    expect(input).toHaveLength(4);
    [50, 60, 90, 100].forEach((pixel, index) => expect(input[index]).toBeCloseTo((pixel / 255 - 0.5) / 0.25, 6));
  });
});

describe("cut", () => {
  test("the region is a square around the box, or lies where eyes and mouth are", () => {
    const box = { left: 10, top: 20, width: 40, height: 50 };
    // 0.975 * 50 = 48.75.
    expect(squareAround(box)).toEqual({ left: 6, top: 20, side: 49 });
    // From (30, 30) to (34, 70) are 40.2: a side of 99.0 by them, so 69.47; the middle is (32, 50 - 5.9).
    expect(squareAround(box, { eyes: [30, 30], mouth: [34, 70] })).toEqual({ left: -2, top: 10, side: 69 });
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
