// What the page offers beside predictions. Oracles: the photo, the drawn example, Python's box, axe, and the browser.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import type { Page } from "playwright-core";
import { describe, expect } from "vitest";

import type { Prediction } from "../../src/predictions/prediction";
import {
  BUILT, chooseOutput, drop, dropAstronaut, expectClose, folder, image, ODD, pageErrors, pageTest, predictBox, python,
  reports, saved, says, startCamera, violations, Visit, VOTES, waitForText,
} from "./browser";

const test = pageTest({ camera: "astronaut" });

test.for([390, 1280])("the examples have their answers, and axe finds nothing on any screen of %i pixels", { timeout: 180_000 }, async (width, { visit }) => {
  const page = await visit.open({ viewport: { width, height: 844 } });
  const answers = async () => (await page.locator("#examples button").allTextContents()).map((text) => text.replace(/ \d+%$/, ""));
  await expect.poll(answers).toEqual(["happy", "neutral", "neutral", "happy"]);
  expect(await violations(page)).toEqual([]);
  await page.click("nav button[popovertarget]");
  expect(await violations(page)).toEqual([]);
  await page.click("#about button");
  expect(await page.isVisible("#about")).toBe(false);
  await page.click("#examples button");
  await waitForText(page, "#status", /bolivia-36\.jpg: one face, happy/);
  expect(await violations(page)).toEqual([]);
  await dropAstronaut(page);
  await page.click("#explain");
  await page.waitForSelector("#map:not([hidden])");
  expect(await violations(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)).toBe("rgb(22, 24, 26)");
  expect(await violations(page)).toEqual([]);
  await page.click("#draw-box");
  expect(await violations(page)).toEqual([]);
  await drop(page, [{ name: "odd.txt", type: "text/plain", bytes: ODD }]);
  await reports(page, "files-unsupported");
  expect(await violations(page)).toEqual([]);
  await startCamera(page);
  await page.click("#stop");
  expect(await violations(page)).toEqual([]);
});

const LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const SEEN = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "not a face"];

test("the timeline has a legend, an axis, and the values under the pointer", async ({ page }) => {
  await startCamera(page);
  await page.waitForTimeout(3000);
  await page.click("#stop");
  expect(await page.locator("#timeline-legend li").allTextContents()).toEqual(SEEN);
  expect(await page.locator("#timeline-times span").allTextContents()).toEqual(["0:00", "0:15", "0:30", "0:45", "1:00"]);
  expect(await page.locator("#timeline-shares span").allTextContents()).toEqual(["100%", "50%", "0%"]);
  const frames = (await saved(page)) as { time_seconds: number; track: number }[];
  // On a busy machine a face that was away for a second has a new number, and the timeline is of the latest.
  const first = frames.find(({ track }) => track === frames.at(-1)!.track)!.time_seconds;
  const box = (await page.locator("#timeline-canvas").boundingBox())!;
  // The middle of the step in which its first frame is.
  const count = Math.floor(box.width / 3);
  const place = (Math.floor((first / 60) * count) + 0.5) / count;
  await page.locator("#timeline-canvas").hover({ position: { x: place * box.width, y: 20 } });
  expect(await page.textContent("#timeline-reading")).toMatch(/^0:\d\d: happy >?\d+%, [\w ]+ <?\d+%, [\w ]+ <?\d+%$/);
  await chooseOutput(page, "fer2013");
  expect(await page.locator("#timeline-legend li").allTextContents()).toEqual(LABELS);
  // The pointer is still there.
  expect(await page.textContent("#timeline-reading")).toMatch(/^0:\d\d: happy/);
});

test("what a stranger needs comes first: three expressions, and nothing for experts; the stage keeps its height", async ({ visit }) => {
  const page = await visit.enter();
  await page.waitForSelector("html[data-ready]");
  const height = async () => (await page.locator("#screen").boundingBox())!.height;
  const empty = await height();
  await page.click("#examples button");
  await page.waitForSelector("#answer strong");
  expect(await height()).toBe(empty);
  expect(await page.locator("#bars li span:first-child").allTextContents()).toEqual(expect.arrayContaining(["happy"]));
  expect(await page.locator("#bars li").count()).toBe(3);
  for (const id of ["models", "outputs", "min-score", "face-crops"]) expect(await page.isVisible(`#${id}`), id).toBe(false);
  await page.click("#more-bars");
  expect(await page.locator("#bars li span:first-child").allTextContents()).toEqual(SEEN);
  await page.click("#advanced summary");
  expect(await page.isVisible("#outputs")).toBe(true);
  await chooseOutput(page, "perceived");
  expect(await page.textContent("#answer")).toMatch(/^happy \d+% of people would say happy$/);
});

/** Draw on the astronaut, from one place in its pixels to another. */
async function draw(page: Page, from: [number, number], to: [number, number]): Promise<void> {
  await page.locator("#frame").evaluate((frame) => frame.scrollIntoView({ behavior: "instant", block: "center" }));
  const frame = (await page.locator("#frame").boundingBox())!;
  const [start, end] = [from, to].map(([x, y]) => [frame.x + (x / 512) * frame.width, frame.y + (y / 512) * frame.width] as const);
  await page.mouse.move(...start!);
  await page.mouse.down();
  await page.mouse.move(...end!, { steps: 3 });
  await page.mouse.up();
}

test("a box drawn by hand is classified as this box is in Python, and stays when the image is read again", async ({ page }) => {
  await dropAstronaut(page);
  await page.click("#draw-box");
  await draw(page, [170, 75], [170, 75]);
  expect(await page.textContent("#draw-hint")).toBe(says("draw_too_small"));
  await draw(page, [170, 75], [270, 180]);
  await expect.poll(() => page.isVisible("#remove-box")).toBe(true);
  expect(await page.getAttribute("#draw-box", "aria-pressed")).toBe("false");
  // It takes the place of the box that was found.
  expect(await saved(page)).toHaveLength(1);
  const [prediction] = (await saved(page)) as unknown as [Prediction];
  const { left, top, width, height } = prediction.box!;
  expect([left, top, width, height].map((value, index) => Math.abs(value - [170, 75, 100, 105][index]!) <= 1)).not.toContain(false);
  expectClose(prediction, predictBox(prediction.box!));
  // No face that is found has this score; then all of them again.
  await page.locator("#min-score").evaluate((slider: HTMLInputElement) => (slider.max = "100"));
  for (const score of ["100", "56"]) {
    await page.fill("#min-score", score);
    await expect.poll(() => saved(page)).toEqual([prediction]);
  }
});

test("a box drawn by hand can be removed, and none can be drawn on face crops", async ({ page }) => {
  const title = () => page.textContent("#prediction-title");
  await dropAstronaut(page);
  const before = await saved(page);
  expect(await page.isVisible("#remove-box")).toBe(false);
  await page.click("#draw-box");
  await draw(page, [20, 20], [120, 120]);
  await expect.poll(title).toBe(says("prediction_for", { number: 2 }));
  await page.click('#boxes [data-face="1"]');
  expect(await page.isVisible("#remove-box")).toBe(false);
  await page.click('#boxes [data-face="2"]');
  await page.click("#remove-box");
  await expect.poll(title).toBe(says("prediction"));
  expect(await page.evaluate(() => document.activeElement!.id)).toBe("draw-box");
  expect(await saved(page)).toEqual(before);
  expect(await page.isVisible("#remove-box")).toBe(false);
  await page.check("#face-crops");
  await expect.poll(() => page.isVisible("#draw-offer")).toBe(false);
  await page.uncheck("#face-crops");
  await expect.poll(() => page.isVisible("#draw-offer")).toBe(true);
});

test("drawing ends with the image that it was for", async ({ page }) => {
  const isDrawing = async () => [
    await page.getAttribute("#draw-box", "aria-pressed"),
    await page.locator("#frame").evaluate((frame) => frame.classList.contains("drawing")),
    await page.isVisible("#draw-hint"),
  ];
  await dropAstronaut(page);
  await page.click("#draw-box");
  await page.keyboard.press("Escape");
  expect(await isDrawing()).toEqual(["false", false, false]);
  await page.click("#draw-box");
  await page.locator("#frame").dispatchEvent("pointerdown", { button: 2, isPrimary: true, pointerId: 1 });
  expect(await page.locator(".drawn").count(), "the right button opens a menu").toBe(0);
  await draw(page, [170, 75], [170, 75]);
  expect(await isDrawing()).toEqual(["true", true, true]);
  await startCamera(page);
  expect(await isDrawing()).toEqual(["false", false, false]);
  await page.click("#stop");
  await page.click("#images button");
  await page.click("#draw-box");
  expect(await page.textContent("#draw-hint")).toBe(says("draw_hint"));
});

test("each face is listed with a picture of it and can be chosen there; the list can be emptied", async ({ page }) => {
  const file = path.join(folder, "crowd.png");
  python("make_astronaut.py", file, "crowd");
  await drop(page, [image("a.png"), image("crowd.png", readFileSync(file))]);
  // Twelve faces are in the crowd; the detector may find one more.
  await expect.poll(() => page.locator("#images li").count()).toBeGreaterThan(12);
  expect(await saved(page)).toHaveLength(await page.locator("#images li").count());
  expect(await page.textContent("#images li:first-child")).toMatch(/^happy \d+%a\.png$/);
  await page.locator("#images button").nth(5).click();
  await waitForText(page, "#prediction-title", /5/);
  expect(await page.locator("#images [aria-pressed=true]").count()).toBe(1);
  expect(await page.locator("#images button").nth(5).getAttribute("aria-pressed")).toBe("true");
  await page.locator('#boxes [data-face="7"]').click();
  expect(await page.locator("#images button").nth(7).getAttribute("aria-pressed")).toBe("true");
  const shown = await page.locator("#images canvas").evaluateAll((all) =>
    (all as HTMLCanvasElement[]).map((canvas) => {
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return [canvas.width, canvas.height, new Set(data).size > 100];
    }),
  );
  // The astronaut's face has more than 96 pixels, most of the crowd fewer.
  expect(shown[0]).toEqual([96, 96, true]);
  expect(shown.filter(([width]) => Number(width) < 96).length).toBeGreaterThan(10);
  expect(shown.filter(([, , isDrawn]) => !isDrawn)).toEqual([]);
  await page.click("#clear-images");
  expect([await page.isVisible("#gallery"), await page.isVisible("#invitation")]).toEqual([false, true]);
  expect(await page.textContent("#status")).toBe(says("privacy"));
  expect(await page.isVisible("#bars")).toBe(false);
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#invitation p")]);
  expect(chooser.isMultiple()).toBe(true);
  await dropAstronaut(page);
  await expect.poll(() => page.locator("#images li").count()).toBe(1);
});

describe("several models", () => {
  test("another one can be chosen, and classifies the same images; more can be opened", async () => {
    const both = await Visit.begin({ folders: [twoModels(), BUILT] });
    const page = await both.open();
    await drop(page, Array.from({ length: 8 }, (_, at) => image(`${at}.png`)));
    await dropAstronaut(page);
    await page.focus("#models");
    await page.keyboard.press("ArrowDown");
    // The new model's name, classes and outputs come before its answers.
    await page.waitForFunction(() => {
      const [model, images] = ["#answer-model", "#images"].map((id) => document.querySelector(id)!.textContent!);
      return model!.includes("unnamed") && images!.includes("…");
    });
    expect(await page.evaluate(() => document.activeElement!.id)).toBe("models");
    // It has one output.
    await expect.poll(() => page.locator("#bars li span:first-child").allTextContents()).toEqual(LABELS);
    await waitForText(page, "#status", /astronaut\.png: one face/);
    expect(await page.textContent("#status")).not.toContain("of people");
    expect(await page.textContent("#model")).toContain("unnamed");
    expect([await page.isVisible("#outputs"), await page.isVisible("#schemes")]).toEqual([false, true]);
    expect(await page.inputValue("#min-confidence")).toBe("0");
    expect((await saved(page))[0]).not.toHaveProperty("output");
    await page.selectOption("#models", "fast-int8");
    await waitForText(page, "#status", /astronaut\.png: one face, happy, \d+%/);
    expect(await page.locator("#bars li span:first-child").allTextContents()).toEqual(SEEN);
    expect([await page.isVisible("#outputs"), await page.isVisible("#schemes")]).toEqual([true, false]);
    expect(await page.inputValue("#outputs")).toBe("answer");
    const file = readFileSync(path.join(VOTES, "model.onnx"));
    await Promise.all(["a.onnx", "b.onnx"].map((name) => drop(page, [{ name, type: "", bytes: file }])));
    await expect.poll(() => page.locator("#models option").allTextContents()).toEqual(["fast-int8", "unnamed", "a.onnx", "b.onnx"]);
    await both.end();
  });

  test("one that cannot be loaded is reported, and the other stays", async () => {
    const both = await Visit.begin({ folders: [twoModels(), BUILT] });
    const page = await both.open({}, (fresh) => fresh.route("**/model-2.onnx", (route) => route.fulfill({ status: 503 })));
    await dropAstronaut(page);
    await page.selectOption("#models", "unnamed");
    expect(await reports(page, "model-failed", "unnamed")).toContain("503");
    expect(await page.inputValue("#models")).toBe("fast-int8");
    expect(await page.textContent("#answer strong")).toBe("happy");
    expect(pageErrors.splice(0).filter((error) => !/503/.test(error))).toEqual([]);
    await both.end();
  });
});

/** A folder with the list of the built model and the tiny one, and the files of the latter, as a model with one output. */
function twoModels(): string {
  const place = path.join(folder, "two-models");
  mkdirSync(place, { recursive: true });
  writeFileSync(path.join(place, "models.json"), JSON.stringify(["fast-int8", "unnamed"]));
  copyFileSync(path.join(VOTES, "model.onnx"), path.join(place, "model-2.onnx"));
  const manifest = JSON.parse(readFileSync(path.join(VOTES, "model.json"), "utf8")) as object;
  writeFileSync(path.join(place, "model-2.json"), JSON.stringify({ ...manifest, outputs: {} }));
  return place;
}
