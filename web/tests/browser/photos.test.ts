// The faces that the page finds in a folder of photos, in the shape of `mien predict --json`, for a scorer:
//     MIEN_PHOTOS=photos MIEN_OUT=page.json npx vitest run photos
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import {  } from "vitest";

import { drop, pageTest, saved } from "./browser";

const { MIEN_PHOTOS: PHOTOS, MIEN_OUT: OUT = "page.json" } = process.env;

const test = pageTest();

test.runIf(PHOTOS)("the faces of a folder's photos", { timeout: 1_800_000 }, async ({ page }) => {
  const names = readdirSync(PHOTOS!).filter((name) => /\.(jpg|png)$/.test(name));
  const start = performance.now();
  for (const name of names) {
    await drop(page, [{ name, type: "", bytes: readFileSync(path.join(PHOTOS!, name)) }]);
  }
  // An image that waits to be read is listed with dots.
  const list = () => page.evaluate(() => document.querySelector("#images")!.textContent!.match(/…/g)?.length ?? 0);
  while (await list()) await page.waitForTimeout(200);
  const milliseconds = (performance.now() - start) / names.length;
  const read = names.map((source) => ({ source, faces: [] as unknown[] }));
  for (const { source, box } of (await saved(page)) as { source: string; box?: unknown }[]) {
    if (box) read.find((each) => each.source === source)!.faces.push({ box });
  }
  writeFileSync(OUT, JSON.stringify(read));
  console.log(`${names.length} photos, ${milliseconds.toFixed(0)} ms each`);
});
