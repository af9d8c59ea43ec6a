// Oracle: the faces that a predictor of this file finds; what a user did meanwhile.
import { beforeAll, describe, expect, test, vi } from "vitest";

import type { Box } from "../../src/faces/box";
import { Gallery } from "../../src/predictions/gallery";
import type { PredictedFace, Predictor } from "../../src/predictions/predictor";

const IMAGE = { width: 500, height: 400 };
vi.mock("../../src/sources/image_file", () => ({ openImage: () => Promise.resolve(IMAGE) }));
beforeAll(() => {
  vi.stubGlobal("OffscreenCanvas", class {
    getContext = () => ({ drawImage() {} });
  });
});

const at = (left: number, side = 100): Box => ({ left, top: 0, width: side, height: side });
const faceAt = (box: Box | null, score: number | null = null): PredictedFace => ({
  box,
  score,
  crop: new Uint8Array(),
  probabilities: {},
});

/** A gallery with one image, in which these boxes are found. `onDetect` runs while the faces of a crop are detected. */
function galleryOf({ found = [] as Box[], areCrops = false, onDetect = () => {} }) {
  const settings = { areCrops };
  const predictor = {
    minScore: 0.45,
    manifest: {},
    predictCrop: () => Promise.resolve([faceAt(null)]),
    predictImage: (_: unknown, drawn: Box[]) =>
      Promise.resolve([...found.map((box) => faceAt(box, 0.9)), ...drawn.map((box) => faceAt(box))]),
    predictBox: (_: unknown, box: Box) => Promise.resolve(faceAt(box)),
    async detect() {
      onDetect();
      return found.map((box) => ({ box, score: 0.9 }));
    },
  } as unknown as Predictor;
  const gallery = new Gallery(Promise.resolve(predictor), () => settings.areCrops);
  const [item] = gallery.add([new File([], "a.png")]);
  return { gallery, item: item!, settings };
}

describe("an image on the screen", () => {
  test("has predictions, though all were forgotten while its hint was looked for", async () => {
    const { gallery, item, settings } = galleryOf({
      found: [at(0)],
      areCrops: true,
      onDetect: () => {
        settings.areCrops = false;
        gallery.forget();
      },
    });
    await gallery.processToShow(item);
    expect(item.predictions?.faces.map(({ box }) => box)).toEqual([at(0)]);
    expect(item.predictions?.hint).toBeNull();
  });
});
