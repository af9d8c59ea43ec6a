// Teaching the page. Oracles: the classes that were given, and Python's answers with the same files (teach_files.py).
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import type { Page } from "playwright-core";
import { beforeAll, expect } from "vitest";

import type { Prediction } from "../../src/predictions/prediction";
import {
  clip, drop, errorCodes, focused, folder, image, ODD, openVideo, pageTest, python, reports, saved, says, violations,
  Visit, VOTES, waitForText,
} from "./browser";

const CLASSES = ["happy", "surprise"];
const faces = path.join(folder, "teach");
const pngs = (name: string) => readdirSync(faces).filter((file) => file.startsWith(name)).map((file) => path.join(faces, file));

const test = pageTest({ camera: "astronaut" });
beforeAll(() => {
  mkdirSync(faces);
  python("teach_files.py", "draw", faces);
}, 300_000);

async function open(visit: Visit, prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
  const page = await visit.open({}, prepare);
  await page.check("#face-crops");
  await page.click("#teach summary");
  return page;
}

async function give(page: Page, at: number, files: string[]): Promise<void> {
  await page.locator("#teach-classes > li").nth(at).locator("input[type=file]").setInputFiles(files);
  await waitForText(page, `#teach-classes > li:nth-child(${at + 1}) .note`, new RegExp(`^${files.length} `));
}

async function nameClass(page: Page, at: number, name: string): Promise<void> {
  await page.locator("#teach-classes > li").nth(at).locator("input[type=text]").fill(name);
}

/** What the page measured: accuracy, number of faces and the model that went on learning, each "" if there is none. */
async function teach(page: Page): Promise<{ accuracy: string; faces: string; from: string }> {
  await page.click("#teach-train");
  await page.waitForSelector("#teach-train[aria-disabled=false]");
  expect(await focused(page)).toBe("teach-train");
  await page.waitForSelector("#teach-result:not([hidden])");
  return page.$eval("#teach-accuracy", (line) => ({ ...(line as HTMLElement).dataset }) as { accuracy: string; faces: string; from: string });
}

/** What the page says of some face crops, which it is given as images, perhaps beside a model. */
async function answers(page: Page, files: string[], ...models: { name: string; type: string; bytes: Buffer }[]): Promise<Prediction[]> {
  await drop(page, [...files.map((file) => image(path.basename(file), readFileSync(file))), ...models]);
  await expect.poll(() => page.textContent("#images")).not.toMatch(/^$|…/);
  return (await saved(page)) as unknown as Prediction[];
}

/** Python's answers with the same file are the page's. */
function expectPythons(model: string, given: Prediction[], within: number): string {
  const { name, answers } = JSON.parse(python("teach_files.py", "predict", model, faces)) as { name: string; answers: Record<string, Record<string, number>> };
  for (const { source, probabilities } of given) {
    expect(Object.keys(probabilities)).toEqual(Object.keys(answers[source]!));
    for (const each of Object.keys(probabilities)) expect(Math.abs(probabilities[each]! - answers[source]![each]!), source).toBeLessThan(within);
  }
  return name;
}

async function saveModel(page: Page): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#teach-save")]);
  expect(download.suggestedFilename()).toBe("taught.onnx");
  const file = path.join(folder, "taught.onnx");
  await download.saveAs(file);
  return file;
}

test("twenty images a class become a model that page and Python open again", { timeout: 300_000 }, async ({ visit }) => {
  const page = await open(visit);
  for (const [at, name] of CLASSES.entries()) {
    await nameClass(page, at, name);
    // To teach waits for images that are being read.
    await page.locator("#teach-classes > li").nth(at).locator("input[type=file]").setInputFiles(pngs(name));
  }
  const { accuracy, faces: measured, from } = await teach(page);
  expect([measured, from]).toEqual(["40", ""]);
  expect(Number(accuracy)).toBeGreaterThan(0.8);
  await page.locator("#teach-cells button.right").first().click();
  const right = Number(await page.locator("#teach-cells button.right").first().textContent());
  expect(await page.locator("#teach-cell-faces canvas").count()).toBe(right);
  expect(right).toBeGreaterThan(12);
  expect(await violations(page)).toEqual([]);
  const some = [...pngs("happy").slice(0, 3), ...pngs("surprise").slice(0, 3)];
  const said = await answers(page, some);
  expect(said.map(({ top }) => top)).toEqual(some.map((file) => path.basename(file).split("-")[0]));
  const file = await saveModel(page);
  expect(expectPythons(file, said, 2e-2)).toBe("taught-int8");
  // What cannot be learnt leaves what was taught.
  await page.click("#teach-add");
  await give(page, 2, pngs("happy-1").slice(0, 1));
  await page.click("#teach-train");
  await reports(page, "teach-few-faces", await page.locator("#teach-classes > li:nth-child(3) input[type=text]").inputValue());
  expect(await page.isVisible("#teach-save")).toBe(true);

  const again = await visit.open();
  await again.check("#face-crops");
  const taught = { name: "TAUGHT.ONNX", type: "", bytes: readFileSync(file) };
  expect(await answers(again, some, taught)).toEqual(said);
  expect(await again.textContent("#answer-model")).toContain("taught-int8");
  // A camera that is started while a model loads ends with it.
  await again.click("#clear-images");
  await again.evaluate(() => new MutationObserver((_, observer) => {
    observer.disconnect();
    document.querySelector<HTMLElement>("#use-camera")!.click();
  }).observe(document.querySelector("#status")!, { childList: true }));
  await drop(again, [{ ...taught, name: "later.onnx" }]);
  await again.waitForSelector('#models option:text("later.onnx")', { state: "attached" });
  await again.waitForTimeout(500);
  expect(await again.isVisible("#stop")).toBe(false);
});

test("a model of mien train head is opened, and goes on learning", { timeout: 300_000 }, async ({ visit }) => {
  const page = await open(visit, async (fresh) => {
    await fresh.addInitScript(() => Object.defineProperty(navigator, "hardwareConcurrency", { get: () => 2 }));
    await fresh.route("**/models.json", (route) => route.fulfill({ json: ["default-int8", "fast-int8"] }));
  });
  const isOffered = () => page.locator("#fast-offer").evaluate((offer: HTMLElement) => !offer.hidden);
  expect(await isOffered()).toBe(true);
  const run = path.join(faces, "run", "model.onnx");
  await page.setInputFiles("#model-file", run);
  await waitForText(page, "#answer-model", /head/);
  expect(await isOffered(), "the fast model has other classes").toBe(false);
  expect(expectPythons(run, await answers(page, pngs("happy-1")), 1e-4)).toBe("head");
  expect(await page.locator("#teach-classes input[type=text]").evaluateAll((all) => all.map((each) => (each as HTMLInputElement).value))).toEqual(CLASSES);
  for (const [at, name] of CLASSES.entries()) await give(page, at, pngs(name).slice(0, 5));
  expect(await teach(page)).toMatchObject({ faces: "10", from: "head" });
  expectPythons(await saveModel(page), await answers(page, pngs("surprise-2")), 1e-4);
});

test("a clip is recorded while it is analysed, and face by face", { timeout: 120_000 }, async ({ visit }) => {
  const page = await open(visit);
  await openVideo(page, clip("astronaut"));
  await page.waitForSelector("#answer strong");
  const row = page.locator("#teach-classes > li").first();
  await row.locator("button[aria-pressed]").click();
  await expect.poll(() => row.locator("canvas").count(), { timeout: 30_000 }).toBeGreaterThan(2);
  // The recording ends with its source.
  await page.click("#stop");
  await expect.poll(() => row.locator("button[aria-pressed=true]").count()).toBe(0);
  // Faces of the clip that is paused are of the same recording.
  await page.waitForSelector("#play:enabled");
  const canvas = (await page.locator("#timeline-canvas").boundingBox())!;
  for (const at of [0, 1]) {
    for (const share of [0.02, 0.06]) {
      const time = await page.evaluate(() => document.querySelector("video")!.currentTime);
      await page.locator("#timeline-canvas").click({ position: { x: (share + 0.01 * at) * canvas.width, y: 20 } });
      await expect.poll(() => page.evaluate(() => document.querySelector("video")!.currentTime)).not.toBe(time);
      await page.waitForTimeout(500);
      await page.locator("#teach-classes > li").nth(at).locator("button[aria-pressed]").click();
    }
  }
  expect(await page.locator("#teach-classes > li").nth(1).locator("canvas").count()).toBe(2);
  expect(await teach(page)).toMatchObject({ accuracy: "", faces: "" });
});

test("the camera is recorded: recordings of one face are not measured, with other images they are", { timeout: 120_000 }, async ({ visit }) => {
  const page = await open(visit);
  await page.click("#use-camera");
  await page.waitForSelector("#answer strong");
  const record = async (at: number) => {
    const row = page.locator("#teach-classes > li").nth(at);
    const before = await row.locator("canvas").count();
    await row.locator("button[aria-pressed]").click();
    await expect.poll(() => row.locator("canvas").count(), { timeout: 30_000 }).toBeGreaterThan(before + 2);
    await row.locator("button[aria-pressed=true]").click();
  };
  await record(0);
  await record(1);
  expect(await teach(page)).toMatchObject({ accuracy: "", faces: "" });
  expect(await page.isVisible("#teach-cells")).toBe(false);
  await page.click("#use-camera");
  await page.waitForSelector("#answer strong");
  // A model that cannot be opened leaves the camera as it is.
  await drop(page, [{ name: "odd.onnx", type: "", bytes: ODD }]);
  await reports(page, "model-damaged", "odd.onnx");
  expect(await page.isVisible("#stop")).toBe(true);
  // A stopped camera has one face, which is no recording.
  await page.click("#stop");
  const row = page.locator("#teach-classes > li").first();
  const before = await row.locator("canvas").count();
  for (const count of [1, 2]) {
    await row.locator("button[aria-pressed=false]").click();
    expect(await row.locator("canvas").count()).toBe(before + count);
  }
  // Another recording of the same face has near-copies of its frames: they are one group.
  for (const at of [0, 1]) {
    await openVideo(page, clip("astronaut"));
    await page.waitForSelector("#answer strong");
    await record(at);
  }
  expect(await teach(page)).toMatchObject({ accuracy: "", faces: "" });
  for (const [at, name] of CLASSES.entries()) await page.locator("#teach-classes > li").nth(at).locator("input[type=file]").setInputFiles(pngs(name).slice(0, 4));
  expect(Number((await teach(page)).faces)).toBeGreaterThan(20);
});

test("what cannot be learnt is one line", { timeout: 120_000 }, async ({ visit }) => {
  const page = await open(visit);
  const refused = async (code: string, text = "") => {
    await page.click("#teach-train");
    return reports(page, code, text);
  };
  // What has nothing to do is disabled, and says why.
  const record = page.locator("#teach-classes > li").first().locator("button[aria-pressed]");
  expect([await page.getAttribute("#teach-train", "aria-disabled"), await record.isDisabled()]).toEqual(["true", true]);
  expect(await page.getAttribute("#teach-train", "title")).toBe(says("error.teach-few-classes"));
  expect(await record.getAttribute("title")).toBe(says("teach_nothing_shown"));
  // A class that is removed leaves its name, and the focus goes to the next button.
  await page.click("#teach-add");
  await page.locator("#teach-classes > li:nth-child(2) .plain").click();
  expect(await focused(page)).toBe("teach-add");
  await page.keyboard.press("Enter");
  const names = page.locator("#teach-classes input[type=text]").evaluateAll((all) => all.map((each) => (each as HTMLInputElement).value));
  expect(new Set(await names).size).toBe(3);
  await page.locator("#teach-classes > li:nth-child(3) .plain").click();
  await nameClass(page, 1, "class 2");
  await give(page, 0, pngs("happy-1").slice(0, 2));
  await give(page, 1, pngs("surprise-0"));
  await refused("teach-few-faces", "class 2");
  await nameClass(page, 1, " class 1 ");
  await refused("teach-name-twice", "class 1");
  await nameClass(page, 1, " ");
  await refused("teach-name-missing");
  expect(await errorCodes(page)).toEqual(["teach-name-missing"]);
  await nameClass(page, 1, "class 2");
  await page.locator("#teach-classes input[type=file]").last().setInputFiles(pngs("surprise-0"));
  await waitForText(page, "#teach-classes > li:last-child .note", /^2 /);
  const other = readFileSync(path.join(VOTES, "model.onnx"), "latin1").replaceAll("features", "pictures");
  await drop(page, [{ name: "other.onnx", type: "", bytes: Buffer.from(other, "latin1") }]);
  await waitForText(page, "#answer-model", /unnamed/);
  await refused("features-missing", "unnamed");
  await page.uncheck("#face-crops");
  const empty = path.join(folder, "empty.png");
  writeFileSync(empty, Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==", "base64"));
  await page.locator("#teach-classes input[type=file]").first().setInputFiles(empty);
  await reports(page, "teach-no-face", "empty.png");
  expect(await page.textContent("#teach-errors"), "beside the button").toContain("teach-no-face");
  await drop(page, [{ name: "odd.onnx", type: "", bytes: ODD }]);
  await reports(page, "model-damaged", "odd.onnx");
  await drop(page, [{ name: "none.onnx", type: "", bytes: Buffer.alloc(0) }]);
  await reports(page, "manifest-missing", "none.onnx");
  await page.locator("#teach-classes .faces button").last().click();
  expect(await focused(page)).toBe("BUTTON");
});
