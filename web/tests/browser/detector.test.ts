// The page's detector. Oracle: Python, of the whole path from an image to boxes.
import { readFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type Box, type DetectedFace, iou } from "../../src/faces/box";
import { BUILT, clip, drop, folder, frameCount, pageErrors, python, saved, Visit } from "./browser";

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin({ folders: [BUILT] });
});
afterAll(() => visit.end());

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
