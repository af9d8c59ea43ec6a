// The page's detector. Oracles: face-api itself in the same browser, of the network that is made from its weights; Python,
// of the whole path from an image to boxes.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { InferenceSession, Tensor } from "onnxruntime-web";
import { afterAll, beforeAll, expect, test } from "vitest";

import { decodeBoxes } from "../../src/faces/anchors";
import { type Box, type DetectedFace, iou, suppressOverlaps } from "../../src/faces/box";
import { astronaut, BUILT, built, clip, drop, folder, frameCount, PACKAGE, pageErrors, python, saved, Visit } from "./browser";
import { serve } from "./site";

interface FaceApi {
  tf: { setBackend(name: string): Promise<boolean>; ready(): Promise<void> };
  nets: { tinyFaceDetector: { loadFromUri(address: string): Promise<void> } };
  TinyFaceDetectorOptions: new (options: { inputSize: number; scoreThreshold: number }) => object;
  tinyFaceDetector(
    image: HTMLCanvasElement,
    options: object,
  ): Promise<{ score: number; box: { x: number; y: number; width: number; height: number } }[]>;
}

const SIDE_PX = 416;

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin({ folders: [BUILT] });
});
afterAll(() => visit.end());

test("the first network finds the same box as face-api", async () => {
  const blank = mkdtempSync(path.join(tmpdir(), "mien-face-api-"));
  writeFileSync(path.join(blank, "index.html"), "<!doctype html><link rel=icon href=data:,><title>face-api</title>");
  writeFileSync(path.join(blank, "astronaut.png"), readFileSync(astronaut()));
  const { server, address } = await serve([blank, PACKAGE], false);
  const other = await visit.browser.newPage();
  await other.goto(address);
  await other.addScriptTag({ url: `${address}dist/face-api.js` });
  const { theirs, pixels } = await other.evaluate(async (side) => {
    const faceApi = (globalThis as unknown as { faceapi: FaceApi }).faceapi;
    await faceApi.tf.setBackend("cpu");
    await faceApi.tf.ready();
    await faceApi.nets.tinyFaceDetector.loadFromUri("/model");
    const image = new Image();
    image.src = "/astronaut.png";
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d")!;
    context.drawImage(image, 0, 0, side, side);
    const options = new faceApi.TinyFaceDetectorOptions({ inputSize: side, scoreThreshold: 0.5 });
    const found = await faceApi.tinyFaceDetector(canvas, options);
    const boxes = found.map(({ score, box: { x, y, width, height } }) => ({ score, box: { left: x, top: y, width, height } }));
    return { theirs: boxes, pixels: [...context.getImageData(0, 0, side, side).data] };
  }, SIDE_PX);
  await other.close();
  server.closeAllConnections();
  server.close();

  const session = await InferenceSession.create(readFileSync(built("detector")));
  const input = new Tensor("uint8", Uint8Array.from(pixels), [SIDE_PX, SIDE_PX, 4]);
  const cells = (await session.run({ pixels: input }))["cells"]!.data as Float32Array;
  const ours = suppressOverlaps(decodeBoxes(cells, SIDE_PX / 32, SIDE_PX / 32, 0.5), 0.4);
  expect(ours).toHaveLength(1);
  expect(theirs).toHaveLength(1);
  expect(ours[0]!.score).toBeCloseTo(theirs[0]!.score, 3);
  for (const side of ["left", "top", "width", "height"] as const) {
    expect(Math.abs(ours[0]!.box[side] - theirs[0]!.box[side]), side).toBeLessThan(0.5);
  }
});

test.each(["whole", "crowd", "tiny", "dark"])("the page finds Python's faces: %s", async (shown) => {
  const file = path.join(folder, `${shown}.png`);
  python("make_astronaut.py", file, ...(shown === "whole" ? [] : [shown]));
  const expected = JSON.parse(python("detect_faces.py", file)) as DetectedFace[];
  const page = await visit.open();
  await drop(page, [{ name: `${shown}.png`, type: "image/png", bytes: readFileSync(file) }]);
  await page.waitForSelector("#answer strong");
  const found = (await saved(page)) as unknown as { box: Box; detection_score: number }[];
  await page.context().close();
  // The page shrinks images with the browser's filter, so a face at the limit may be found by one of both alone.
  const isSure = ({ score }: { score: number }) => score > 0.8;
  const near = (box: Box, others: { box: Box }[]) => others.filter((other) => iou(box, other.box) > 0.7).length;
  const sure = expected.filter(isSure);
  expect(sure.length).toBeGreaterThan(0);
  expect(sure.map(({ box }) => near(box, found))).toEqual(sure.map(() => 1));
  const ours = found.filter(({ detection_score: score }) => isSure({ score }));
  expect(ours.map(({ box }) => near(box, expected))).toEqual(ours.map(() => 1));
  expect(pageErrors).toEqual([]);
});

test("a small face that was found once is found in each frame, though not each is searched for it", { timeout: 150_000 }, async () => {
  const page = await visit.open();
  await page.setInputFiles("#video-file", { name: "small.webm", mimeType: "video/webm", buffer: clip("small") });
  await page.waitForSelector("#play:enabled", { timeout: 120_000 });
  const frames = await frameCount(page);
  const found = (await saved(page)).length;
  console.log(`a small face is found in ${found} of ${frames} frames`);
  expect(frames).toBe(75);
  expect(found).toBeGreaterThan(0.8 * frames);
  await page.context().close();
});
