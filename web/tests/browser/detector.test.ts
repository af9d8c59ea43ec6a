// The detector's graph is made from face-api's weights. Oracle: face-api itself, in the same browser.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { astronaut, BUILT, drop, pageErrors, PACKAGE, saved, Visit } from "./browser";
import { serve } from "./site";

interface FaceApi {
  tf: { setBackend(name: string): Promise<boolean>; ready(): Promise<void> };
  nets: { tinyFaceDetector: { loadFromUri(address: string): Promise<void> } };
  TinyFaceDetectorOptions: new (options: { inputSize: number; scoreThreshold: number }) => object;
  tinyFaceDetector(
    image: HTMLImageElement,
    options: object,
  ): Promise<{ score: number; box: { x: number; y: number; width: number; height: number } }[]>;
}

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin({ folders: [BUILT] });
});
afterAll(() => visit.end());

test("the detector finds the same box as face-api", async () => {
  const blank = mkdtempSync(path.join(tmpdir(), "mien-face-api-"));
  writeFileSync(path.join(blank, "index.html"), "<!doctype html><link rel=icon href=data:,><title>face-api</title>");
  writeFileSync(path.join(blank, "astronaut.png"), readFileSync(astronaut()));
  const { server, address } = await serve([blank, PACKAGE], false);
  const other = await visit.browser.newPage();
  await other.goto(address);
  await other.addScriptTag({ url: `${address}dist/face-api.js` });
  const [theirs] = await other.evaluate(async () => {
    const faceApi = (globalThis as unknown as { faceapi: FaceApi }).faceapi;
    await faceApi.tf.setBackend("cpu");
    await faceApi.tf.ready();
    await faceApi.nets.tinyFaceDetector.loadFromUri("/model");
    const image = new Image();
    image.src = "/astronaut.png";
    await image.decode();
    const options = new faceApi.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: 0.5 });
    const found = await faceApi.tinyFaceDetector(image, options);
    return found.map(({ score, box: { x, y, width, height } }) => ({ score, x, y, width, height }));
  });
  await other.close();
  server.closeAllConnections();
  server.close();

  const page = await visit.open();
  await drop(page, [{ name: "astronaut.png", type: "image/png", bytes: readFileSync(astronaut()) }]);
  await page.waitForSelector("#answer strong");
  const [{ box }] = (await saved(page)) as unknown as [{ box: Record<string, number> }];
  // Boxes of the page are whole pixels, and the page shrinks the image with another filter.
  const near = 2;
  expect(Math.abs(box["left"]! - theirs!.x)).toBeLessThan(near);
  expect(Math.abs(box["top"]! - theirs!.y)).toBeLessThan(near);
  expect(Math.abs(box["width"]! - theirs!.width)).toBeLessThan(near);
  expect(Math.abs(box["height"]! - theirs!.height)).toBeLessThan(near);
  expect(theirs!.score).toBeGreaterThan(0.8);
  expect(pageErrors).toEqual([]);
});
