// Throughput of the page on a camera of 640 x 480 pixels with one face and with eight: MIEN_SECONDS=20 npx vitest run speed
import { expect, test } from "vitest";

import { startCamera, Visit } from "./browser";

const SECONDS = Number(process.env["MIEN_SECONDS"] ?? 0);

test.runIf(SECONDS).each([
  { camera: "astronaut", faces: 1 },
  { camera: "eight", faces: 8 },
] as const)("$faces faces, which keep their numbers", { timeout: 1000 * SECONDS + 60_000 }, async ({ camera, faces }) => {
  const visit = await Visit.begin({ camera });
  const page = await visit.open();
  await startCamera(page);
  // In the first seconds the browser still optimises the wasm code.
  await page.waitForTimeout(1000 * SECONDS);
  console.log(`${faces} faces: ${await page.textContent("#throughput")}`);
  const numbers = await page.locator("#boxes button").evaluateAll((all) => all.map((each) => Number((each as HTMLElement).dataset["face"])));
  expect(Math.max(...numbers)).toBe(faces);
  await visit.end();
});
