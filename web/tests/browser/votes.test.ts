// A model with two outputs, one of them taught by votes. Oracle: Python's probabilities (make_votes_model.py).
import { readFileSync } from "node:fs";
import path from "node:path";

import type { Page } from "playwright-core";
import { expect } from "vitest";

import type { Prediction } from "../../src/predictions/prediction";
import {
  BUILT, chooseOutput, drop, expectClose, image, pageTest, ROOT, saved, Visit, VOTES, votesImages, waitForText,
} from "./browser";

const test = pageTest({ folders: [VOTES, BUILT] });

/** What was measured of the page's own model when it was made. */
const card = JSON.parse(readFileSync(path.join(ROOT, "src/mien/shipped/fast/card.json"), "utf8")) as {
  int8: { accuracy: number };
};

const files = votesImages.map(({ name, file }) => image(name, Buffer.from(file, "base64")));

async function openCrops(page: Page): Promise<void> {
  await page.check("#face-crops");
  await drop(page, files);
  await expect.poll(() => page.textContent("#images"), { timeout: 20_000 }).toMatch(/^[^…]+face-4[^…]+$/);
}

async function compare(page: Page, output: string): Promise<void> {
  const predictions = (await saved(page)) as unknown as Prediction[];
  expect(predictions).toHaveLength(votesImages.length);
  for (const { name, probabilities } of votesImages) {
    const prediction = predictions.find(({ source }) => source === name)!;
    expect(prediction.output).toBe(output);
    expectClose(prediction, probabilities, 5e-5);
  }
}

test("both outputs have Python's probabilities, and what people see answers first", async ({ page }) => {
  await openCrops(page);
  expect(await page.inputValue("#outputs")).toBe("perceived");
  expect(await page.locator("#bars li").count()).toBe(10);
  await compare(page, "perceived");
  await chooseOutput(page, "fer2013");
  expect(await page.locator("#bars li").count()).toBe(7);
  await compare(page, "fer2013");
  const [first] = (await saved(page)) as unknown as [Prediction];
  expect(first).not.toHaveProperty("unsure");
});

test("the page says what is unsure and what is not a face", async ({ page }) => {
  await openCrops(page);
  expect(await page.textContent("#answer")).toMatch(/^unsure \d+% of people would say happy$/);
  expect(await page.textContent("#min-confidence-value")).toBe("50%");
  expect(await page.textContent("#meaning")).toContain("share of people");
  expect(await page.isVisible("#schemes")).toBe(false);
  await page.locator("#images button").last().click();
  await waitForText(page, "#status", /face-4\.png: one face, \d+% of people would say not a face/);
  const predictions = (await saved(page)) as unknown as Prediction[];
  expect(predictions.map((each) => [each.unsure, each.not_a_face])).toEqual([
    ...Array.from({ length: 4 }, () => [true, false]),
    [false, true],
  ]);
  // FER2013's label knows no such answer. Of face 4, it finds several expressions nearly as likely.
  await chooseOutput(page, "fer2013");
  expect(await page.textContent("#answer strong")).toBe("unsure");
  expect(await page.textContent("#min-confidence-value")).toBe("0%");
  expect(await page.isVisible("#schemes")).toBe(true);
  await page.click("#languages [lang=de]");
  expect(await page.textContent("#outputs")).toContain("was Menschen sehen");
});

test("the model's accuracy is that of the output on the screen, and none is named where none was measured", async () => {
  const shipped = await Visit.begin();
  const figure = async (page: Page) => /[\d.]+%/.exec((await page.textContent("#model"))!)?.[0];
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const page = await shipped.open();
  expect(await figure(page)).toBeUndefined();
  await chooseOutput(page, "fer2013");
  expect(await figure(page)).toBe(percent(card.int8.accuracy));
  await shipped.end();
});
