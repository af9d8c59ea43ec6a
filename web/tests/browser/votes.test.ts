// A model with two outputs, one of them taught by votes. Oracle: Python's probabilities (make_votes_model.py).
import { readFileSync } from "node:fs";
import path from "node:path";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import type { Prediction } from "../../src/predictions/prediction";
import { BUILT, chooseOutput, drop, pageErrors, ROOT, saved, VOTES, votesImages, waitForText, Visit } from "./browser";

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin({ folders: [VOTES, BUILT] });
});
afterAll(() => visit.end());

/** What was measured of the page's own model when it was made. */
const card = JSON.parse(readFileSync(path.join(ROOT, "src/mien/shipped/fast/card.json"), "utf8")) as {
  int8: { accuracy: number };
};

const files = votesImages.map(({ name, file }) => ({ name, type: "image/png", bytes: Buffer.from(file, "base64") }));
const noise = files.at(-1)!;

async function openWithCrops(prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
  const page = await visit.open({}, prepare);
  await page.check("#face-crops");
  await drop(page, files);
  await expect.poll(() => page.textContent("#images"), { timeout: 20_000 }).toMatch(/^[^…]+face-4[^…]+$/);
  return page;
}

async function compare(page: Page, output: string): Promise<void> {
  const predictions = (await saved(page)) as unknown as Prediction[];
  expect(predictions).toHaveLength(votesImages.length);
  for (const { name, probabilities } of votesImages) {
    const prediction = predictions.find(({ source }) => source === name)!;
    expect(prediction.output).toBe(output);
    expect(Object.keys(prediction.probabilities)).toEqual(Object.keys(probabilities[output]!));
    for (const [each, value] of Object.entries(probabilities[output]!)) {
      expect(prediction.probabilities[each], `${name} ${each}`).toBeCloseTo(value, 4);
    }
  }
}

test("both outputs have Python's probabilities, and what people see answers first", async () => {
  const page = await openWithCrops();
  expect(await page.inputValue("#outputs")).toBe("perceived");
  expect(await page.locator("#bars li").count()).toBe(10);
  await compare(page, "perceived");
  await chooseOutput(page, "fer2013");
  expect(await page.locator("#bars li").count()).toBe(7);
  await compare(page, "fer2013");
  const [first] = (await saved(page)) as unknown as [Prediction];
  expect(first).not.toHaveProperty("unsure");
  await page.context().close();
});

test("the page says what is unsure and what is not a face", async () => {
  const page = await openWithCrops();
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
  await page.click('[data-language="de"]');
  expect(await page.textContent("#outputs")).toContain("was Menschen sehen");
  await page.context().close();
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

/** Make the answers of people clearer. */
const withTemperature = (temperature: number) => (page: Page) =>
  page.route("**/model.json", async (route) => {
    const manifest = (await (await route.fetch()).json()) as { outputs: Record<string, { temperature: number }> };
    manifest.outputs["perceived"]!.temperature = temperature;
    await route.fulfill({ json: manifest });
  });

test("with a lower limit the expression is named, and the file keeps Python's limit", async () => {
  const page = await openWithCrops(withTemperature(0.4));
  await page.fill("#min-confidence", "0");
  expect(await page.textContent("#answer")).toMatch(/^happy\D* \d+% of people would say happy/);
  expect(await page.textContent("#boxes, #images button:first-child")).not.toContain("unsure");
  expect((await saved(page))[0]).toMatchObject({ output: "perceived", top: "happy", unsure: true });
  // Each output has a limit of its own.
  await chooseOutput(page, "fer2013");
  await chooseOutput(page, "perceived");
  expect(await page.inputValue("#min-confidence")).toBe("50");
  expect(await page.textContent("#answer strong")).toBe("unsure");
  await page.context().close();
});

test("where most people would agree, the expression is named with their share", async () => {
  const page = await openWithCrops(withTemperature(0.1));
  expect(await page.textContent("#answer")).toMatch(/^happy\D* \d+% of people would say happy/);
  await page.click("#explain");
  await page.waitForSelector("#map:not([hidden])");
  // The map is of one answer.
  await chooseOutput(page, "fer2013");
  expect(await page.isVisible("#map")).toBe(false);
  await drop(page, [noise]);
  await page.context().close();
});

test("no page had an error", () => {
  expect(pageErrors).toEqual([]);
});
