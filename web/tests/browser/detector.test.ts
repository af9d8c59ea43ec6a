// The page's detector. Oracle: Python, of the whole path from an image to boxes.
import { readFileSync } from "node:fs";
import path from "node:path";

import { expect } from "vitest";

import type { Box } from "../../src/faces/box";
import { BUILT, clip, drop, folder, frameCount, image, openVideo, pageTest, python, saved } from "./browser";

interface Found {
  box: Box;
  detection_score: number;
  answer: string;
  probabilities: Record<string, number>;
}

const test = pageTest({ folders: [BUILT] });

test.for([["whole"], ["crowd", "crowd"], ["tiny", "tiny"], ["dark", "dark"], ["close-up", 165, 72, 275, 187]] as const)("the page finds Python's faces: %s", async ([shown, ...given], { visit }) => {
  const file = path.join(folder, `${shown}.png`);
  python("make_astronaut.py", file, ...given);
  const expected = JSON.parse(python("detect_faces.py", file)) as Found[];
  const page = await visit.open();
  await drop(page, [image(`${shown}.png`, readFileSync(file))]);
  await page.waitForSelector("#answer strong");
  const found = (await saved(page)) as unknown as Found[];
  expect(expected.length).toBeGreaterThan(0);
  // Faces of one size may come in either order.
  for (const faces of [found, expected]) faces.sort(({ box: one }, { box: other }) => one.left - other.left || one.top - other.top);
  expect(found.map(({ box }) => box)).toEqual(expected.map(({ box }) => box));
  // The browser's arithmetic differs from Python's in the last digits.
  found.forEach(({ detection_score: score, answer, probabilities }, index) => {
    const { detection_score: there, answer: said, probabilities: all } = expected[index]!;
    expect(score).toBeCloseTo(there, 3);
    expect(answer).toBe(said);
    for (const [name, value] of Object.entries(all)) expect(Math.abs(value - probabilities[name]!)).toBeLessThan(0.03);
  });
});

test("a small face is found in each frame, though few are searched for small ones", { timeout: 150_000 }, async ({ page }) => {
  await openVideo(page, clip("small"), "small.webm");
  await page.waitForSelector("#play:enabled", { timeout: 120_000 });
  const frames = await frameCount(page);
  const found = (await saved(page)).length;
  console.log(`a small face is found in ${found} of ${frames} frames`);
  expect(frames).toBe(75);
  expect(found).toBeGreaterThan(0.8 * frames);
});
