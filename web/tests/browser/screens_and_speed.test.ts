// Screenshots of the page, to look at and for docs/web.md: MIEN_SCREENS=DIR npx vitest run screens
// Throughput on a camera of 640 x 480 pixels with one face and with eight: MIEN_SECONDS=20 npx vitest run speed
import { mkdirSync } from "node:fs";
import path from "node:path";

import { expect } from "vitest";

import { drop, dropAstronaut, image, ODD, pageTest, reports, startCamera, Visit } from "./browser";

const OUT = process.env["MIEN_SCREENS"] ?? "";
const SECONDS = Number(process.env["MIEN_SECONDS"] ?? 0);

const test = pageTest({ camera: "astronaut" });

test.runIf(OUT).for([
  { name: "desk-light", colorScheme: "light", width: 1280, height: 900, locale: "en" },
  { name: "desk-dark", colorScheme: "dark", width: 1280, height: 900, locale: "en" },
  { name: "phone-light", colorScheme: "light", width: 390, height: 844, locale: "de" },
  { name: "phone-dark", colorScheme: "dark", width: 390, height: 844, locale: "en" },
] as const)("$name", async ({ name, colorScheme, width, height, locale }, { visit }) => {
  mkdirSync(OUT, { recursive: true });
  const page = await visit.open({ colorScheme, viewport: { width, height }, locale });
  const shoot = (what: string) => page.screenshot({ path: path.join(OUT, `${name}-${what}.png`), fullPage: true });
  await shoot("empty");
  await page.click("#examples button");
  await page.waitForSelector("#answer strong");
  await shoot("example");
  await dropAstronaut(page);
  await page.click("#explain");
  await page.waitForSelector("#map:not([hidden])");
  await shoot("image");
  await drop(page, [image("odd.png", ODD)]);
  await reports(page, "image-unreadable");
  await shoot("refused");
  await startCamera(page);
  await page.waitForTimeout(6000);
  await page.hover("#timeline-canvas", { position: { x: 20, y: 20 } });
  await shoot("camera");
  await page.click("#teach summary");
  for (const at of [0, 1, 0, 1]) {
    const record = page.locator("#teach-classes > li").nth(at).locator("button").nth(1);
    await record.click();
    await page.waitForTimeout(1500);
    await record.click();
  }
  await page.click("#teach-add");
  await page.click("#teach-train");
  await page.waitForSelector("#teach-result:not([hidden])");
  await page.locator("#teach-cells button:not(:disabled)").first().click();
  await shoot("taught");
});

test.runIf(SECONDS).for([
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
