// Oracle: the faces that a predictor of this file finds; what a user did meanwhile; the rules of mien.faces.face.
import { readFileSync } from "node:fs";
import path from "node:path";

import { beforeAll, describe, expect, test, vi } from "vitest";

import type { Box } from "../../src/faces/box";
import { CROP_PX, cropHint, Gallery, type GalleryItem } from "../../src/predictions/gallery";
import type { PredictedFace, Predictor } from "../../src/predictions/predictor";

const image = { width: 500, height: 400 };
vi.mock("../../src/sources/image_file", () => ({ openImage: () => Promise.resolve(image) }));
beforeAll(() => {
  vi.stubGlobal("OffscreenCanvas", class {
    getContext = () => ({ drawImage() {} });
  });
});

const at = (left: number, side = 100): Box => ({ left, top: 0, width: side, height: side });
const faceAt = (box: Box | null, score: number | null = null): PredictedFace => ({
  box,
  score,
  ...(box && { square: { left: box.left, top: box.top, side: box.width } }),
  crop: new Uint8Array(),
  probabilities: {},
});

/** A gallery with one image, in which these boxes are found. `onDetect` runs while the faces of a crop are detected. */
function galleryOf({ found = [] as Box[], areCrops = false, onDetect = () => {}, width = 500, height = 400 }) {
  Object.assign(image, { width, height });
  const settings = { areCrops };
  const predictor = {
    detector: {
      minScore: 0.56,
      async detectInImage() {
        onDetect();
        return found.map((box) => ({ box, score: 0.9 }));
      },
    },
    manifest: {},
    predictCrop: () => Promise.resolve([faceAt(null)]),
    predictImage: (_: unknown, drawn: Box[]) =>
      Promise.resolve([...found.map((box) => faceAt(box, 0.9)), ...drawn.map((box) => faceAt(box))]),
    predictBox: (_: unknown, box: Box) => Promise.resolve(faceAt(box)),
  } as unknown as Predictor;
  const gallery = new Gallery(Promise.resolve(predictor), () => settings.areCrops);
  const [item] = gallery.add([new File([], "a.png")]);
  return { gallery, item: item!, settings };
}

test("an image on the screen has predictions, though all were forgotten while its hint was looked for", async () => {
  const onDetect = () => {
    settings.areCrops = false;
    gallery.forget();
  };
  const { gallery, item, settings } = galleryOf({ found: [at(0)], areCrops: true, onDetect });
  await gallery.processToShow(item);
  expect(item.predictions?.faces.map(({ box }) => box)).toEqual([at(0)]);
  expect(item.predictions?.hint).toBeNull();
});

describe("a box that the user drew", () => {
  const boxes = ({ predictions }: GalleryItem) => predictions?.faces.map(({ number, box, score }) => [number, box!.left, score]);

  test("takes the place of a box of the same face, now and when the image is read again", async () => {
    const { gallery, item } = galleryOf({ found: [at(0), at(200)] });
    await gallery.process(item);
    // Each has 80 of 120 columns in common with another one: an IoU of 2/3. The last has 50 of 150: 1/3.
    expect(await gallery.addFace(item, at(20))).toBe(2);
    expect(boxes(item)).toEqual([[1, 200, 0.9], [2, 20, null]]);
    expect(await gallery.addFace(item, at(40))).toBe(2);
    expect(await gallery.addFace(item, at(150))).toBe(3);
    const expected = [[1, 200, 0.9], [2, 40, null], [3, 150, null]];
    expect(boxes(item)).toEqual(expected);
    expect(item.predictions?.faces.map(({ thumbnail }) => Boolean(thumbnail))).toEqual([true, true, true]);
    gallery.forget();
    await gallery.process(item);
    expect(boxes(item)).toEqual(expected);
  });

  test("can be removed, and what was found there comes back", async () => {
    const { gallery, item } = galleryOf({ found: [at(0)] });
    await gallery.process(item);
    await gallery.addFace(item, at(20));
    gallery.removeBox(item, item.predictions!.faces[0]!.box!);
    await gallery.process(item);
    expect(boxes(item)).toEqual([[1, 0, 0.9]]);
  });

  test("is the end of a hint that the image may be a face crop", async () => {
    const { gallery, item } = galleryOf({ width: 48, height: 48 });
    await gallery.processToShow(item);
    expect(item.predictions!.hint).toBe("crop_as_photo");
    await gallery.addFace(item, at(0, 40));
    expect(item.predictions!.hint).toBeNull();
  });

  test("waits while images are face crops", async () => {
    const { gallery, item, settings } = galleryOf({ found: [at(0)] });
    await gallery.process(item);
    settings.areCrops = true;
    gallery.forget();
    await gallery.process(item);
    await gallery.addFace(item, at(300));
    expect(item.predictions!.faces.map(({ box }) => box)).toEqual([null]);
    settings.areCrops = false;
    gallery.forget();
    await gallery.process(item);
    expect(boxes(item)).toEqual([[1, 0, 0.9], [2, 300, null]]);
  });
});

describe("hints, as of mien.faces.face", () => {
  const whole = { box: null };
  const face = (side: number) => ({ box: { left: 0, top: 0, width: side, height: side / 2 }, score: 1 });
  const hint = async (width: number, height: number, faces: { box: null }[], ...found: ReturnType<typeof face>[]) =>
    cropHint({ width, height }, faces, () => Promise.resolve(found));

  test("the limit is Python's", () => {
    const code = readFileSync(path.join(import.meta.dirname, "../../../src/mien/faces/face.py"), "utf8");
    expect(CROP_PX).toBe(Number(/^CROP_PX = (.+)$/m.exec(code)![1]));
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
