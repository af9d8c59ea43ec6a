// Screenshots of the page, to look at and for docs/web.md: MIEN_SCREENS=DIR npx vitest run screens
import { mkdirSync } from "node:fs";
import path from "node:path";

import {  } from "vitest";

import { drop, dropAstronaut, image, ODD, pageTest, reports, startCamera } from "./browser";

const OUT = process.env["MIEN_SCREENS"] ?? "";

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
