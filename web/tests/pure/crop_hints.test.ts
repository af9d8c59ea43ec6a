// Oracle: the rules of mien.faces.crop, by hand; its limits from the Python files.
import { readFileSync } from "node:fs";
import path from "node:path";

import { describe, expect, test } from "vitest";

import { CROP_PX, cropHint, SMALL_FACE } from "../../src/predictions/gallery";

describe("hints, as of mien.faces.crop", () => {
  const whole = { box: null };
  const face = (side: number) => ({ box: { left: 0, top: 0, width: side, height: side / 2 }, score: 1 });
  const hint = async (width: number, height: number, faces: { box: null }[], ...found: ReturnType<typeof face>[]) =>
    cropHint({ width, height }, faces, () => Promise.resolve(found));

  test("the limits are Python's", () => {
    const limit = (file: string, name: string) => {
      const code = readFileSync(path.join(import.meta.dirname, "../../../src/mien/faces", file), "utf8");
      return Number(new RegExp(`^${name} = (.+)$`, "m").exec(code)![1]);
    };
    expect([CROP_PX, SMALL_FACE]).toEqual([limit("crop.py", "CROP_PX"), limit("crop.py", "SMALL_FACE")]);
  });

  test("a small image without a face may be a face crop", async () => {
    expect(await Promise.all([hint(36, 55, []), hint(224, 224, [])])).toEqual(["crop_as_photo", "crop_as_photo"]);
    expect(await Promise.all([hint(225, 225, []), hint(200, 150, []), hint(48, 48, [whole])])).toEqual([null, null, null]);
  });

  test("a large image that was taken as a face crop, with small faces, may be a photo", async () => {
    expect(await hint(500, 300, [whole], face(119))).toBe("photo_as_crop");
    expect(await Promise.all([hint(500, 300, [whole], face(120)), hint(500, 300, [whole]), hint(224, 200, [whole], face(9))])).toEqual(
      [null, null, null],
    );
    const found = [{ box: face(9).box }];
    expect(await cropHint({ width: 500, height: 300 }, found, () => Promise.reject(new Error("detected again")))).toBeNull();
  });
});
