// One image after another: settings, occlusion map, saved file, boxes and focus. Oracle: the photo, and the page itself.
import { readFileSync } from "node:fs";
import path from "node:path";

import type { Page } from "playwright-core";
import { describe, expect } from "vitest";

import type { Prediction } from "../../src/predictions/prediction";
import {
  astronaut, BUILT, chooseOutput, drop, dropAstronaut, folder, image, pageTest, python, ROOT, saved, says, VOTES,
  votesImages, waitForText,
} from "./browser";

const test = pageTest();

describe("settings", () => {
  let page: Page;
  test.beforeAll(async ({ visit }) => {
    page = await visit.open();
    await dropAstronaut(page);
  });

  test("label schemes: five and two classes", async () => {
    await chooseOutput(page, "fer2013");
    expect(await page.locator("#bars li").count()).toBe(7);
    await page.selectOption("#schemes", "five");
    expect(await page.locator("#bars li").count()).toBe(5);
    await page.selectOption("#schemes", "binary");
    expect(await page.locator("#bars li span:first-child").allTextContents()).toEqual(["negative", "positive"]);
    const [prediction] = (await saved(page)) as unknown as [Prediction];
    expect(prediction.top).toBe("positive");
    expect(Object.values(prediction.probabilities).reduce((sum, each) => sum + each)).toBeCloseTo(1, 12);
    await page.selectOption("#schemes", "all");
  });

  test("below the chosen confidence the answer is unsure, and the file still has all probabilities", async () => {
    const border = () => page.locator("#boxes button").evaluate((box) => getComputedStyle(box).border);
    expect(await border()).toBe("3px solid rgb(223, 164, 38)");
    await page.fill("#min-confidence", "99");
    expect(await page.textContent("#answer strong")).toBe("unsure");
    expect(await border()).toBe("3px dashed rgb(255, 255, 255)");
    expect(await page.textContent("#boxes button span")).toBe("unsure");
    expect((await saved(page))[0]!["top"]).toBe("happy");
    await page.fill("#min-confidence", "40");
    expect(await page.textContent("#answer strong")).toBe("happy");
  });

  test("in a mirrored view the box follows; the file has the pixels of the image", async () => {
    const boxOf = async () => (await page.locator("#boxes button").boundingBox())!;
    const frame = (await page.locator("#image").boundingBox())!;
    const before = await boxOf();
    const [{ box }] = (await saved(page)) as unknown as [Prediction];
    await page.check("#mirror");
    const after = await boxOf();
    expect(after.x - frame.x).toBeCloseTo(frame.x + frame.width - before.x - before.width, 0);
    expect(((await saved(page)) as unknown as [Prediction])[0].box).toEqual(box);
    await page.uncheck("#mirror");
  });

  test("the occlusion map of the chosen face is shown", async () => {
    await page.click("#explain");
    await page.waitForSelector("#map:not([hidden])");
    expect(await page.getAttribute("#map-canvas", "aria-label")).toContain("happy");
    const coloured = await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>("#map-canvas")!;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return [...data].filter((_, at) => at % 4 === 0 && data[at] !== data[at + 2]).length;
    });
    expect(coloured).toBeGreaterThan(100);
    expect(coloured).toBeLessThan(48 * 48);
  });

  test("a map of one prediction is not shown beside another", async () => {
    await page.click("#explain");
    await page.selectOption("#schemes", "binary");
    await waitForText(page, "#status", /one face/);
    expect(await page.isVisible("#map")).toBe(false);
    await page.selectOption("#schemes", "all");
  });

  test("predictions can be copied", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("#copy");
    await waitForText(page, "#status", /Copied/);
    const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText())) as unknown;
    expect(copied).toEqual(await saved(page));
  });

  test("dropped text changes nothing", async () => {
    const before = await page.textContent("#status");
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.setData("text/plain", "words");
      for (const kind of ["dragover", "drop"]) document.dispatchEvent(new DragEvent(kind, { dataTransfer, cancelable: true }));
    });
    await page.evaluate(() => new Promise((done) => setTimeout(done, 100)));
    expect([await page.textContent("#status"), await page.isVisible("#image")]).toEqual([before, true]);
  });

  test("a pasted image is processed", async () => {
    await page.evaluate((text) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
    }, readFileSync(astronaut()).toString("base64"));
    await waitForText(page, "#status", /image\.png: one face, happy/);
  });

  test("twelve small faces are detected at the larger size, and each can be chosen", async () => {
    const file = path.join(folder, "crowd.png");
    python("make_astronaut.py", file, "crowd");
    await drop(page, [image("crowd.png", readFileSync(file))]);
    await waitForText(page, "#status", /crowd\.png: 12 faces\. Face 1: /);
    const fifth = page.locator("#boxes button").nth(4);
    await fifth.click();
    expect(await fifth.getAttribute("aria-pressed")).toBe("true");
    expect(await page.textContent("#prediction-title")).toBe("Prediction for face 5");
    const cutOff = await page.evaluate(() => {
      const frame = document.querySelector("#screen")!.getBoundingClientRect();
      const captions = [...document.querySelectorAll("#boxes span")].map((each) => each.getBoundingClientRect());
      const shown = captions.filter(({ width }) => width);
      return shown.filter(({ left, right, top }) => left < frame.left || right > frame.right || top < frame.top);
    });
    expect(cutOff).toEqual([]);
  });

  test.each([390, 1280])("on a screen of %d px no caption covers a face or another caption", async (width) => {
    await page.setViewportSize({ width, height: 900 });
    await page.locator("#boxes button").nth(4).click();
    const rects = (selector: string) => page.locator(selector).evaluateAll((all) =>
      all.map((each) => each.getBoundingClientRect()).filter((each) => each.width).map(({ left, top, right, bottom }) => ({ left, top, right, bottom })),
    );
    const [faces, captions] = [await rects("#boxes button"), await rects("#boxes span")];
    const texts = await page.locator("#boxes span:not([hidden])").allTextContents();
    // Each has at least its number beside it.
    expect(texts.map((text) => Number.parseInt(text)).toSorted((one, other) => one - other)).toEqual(faces.map((_, at) => at + 1));
    expect(texts).toContainEqual(expect.stringMatching(/^5 [a-z]+ \d+%$|^5 unsure$/));
    const all = [...faces, ...captions];
    const covering = captions.filter((one) =>
      all.some((other) => other !== one && one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom),
    );
    expect(covering).toEqual([]);
  });

  test("a face that disappears passes its focus to the first face, or to the place of faces", async () => {
    const focused = () =>
      page.evaluate(() => [document.activeElement!.id, (document.activeElement as HTMLElement).dataset["face"]]);
    await page.focus('#boxes button[data-face="5"]');
    await dropAstronaut(page);
    expect(await focused()).toEqual(["", "1"]);
    await drop(page, [image("plain.png", await plainImage(page))]);
    await waitForText(page, "#status", /No face found in plain\.png/);
    expect(await focused()).toEqual(["boxes", undefined]);
    await dropAstronaut(page);
    expect(await focused()).toEqual(["", "1"]);
  });

  test("an image without a face can be classified as a whole", async () => {
    await drop(page, [image("plain.png", await plainImage(page))]);
    await waitForText(page, "#status", /No face found in plain\.png/);
    expect(await page.textContent("#answer")).toBe(says("no_face_now"));
    await page.focus("#classify-whole");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#answer strong");
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("explain");
    const prediction = ((await saved(page)) as unknown as Prediction[]).find(({ source }) => source === "plain.png")!;
    expect(prediction).not.toHaveProperty("box");
    expect(await page.isVisible("#classify-whole")).toBe(false);
  });
});

/** A sky, as a PNG file. */
async function plainImage(page: Page, width = 300, height = 200): Promise<Buffer> {
  const address = await page.evaluate(
    ([width, height]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d")!;
      const sky = context.createLinearGradient(0, 0, 0, height);
      sky.addColorStop(0, "#4a7fb0");
      sky.addColorStop(1, "#e8eef2");
      context.fillStyle = sky;
      context.fillRect(0, 0, width, height);
      return canvas.toDataURL("image/png");
    },
    [width, height] as const,
  );
  return Buffer.from(address.slice(address.indexOf(",") + 1), "base64");
}

test("a small square image without a face, and a photo taken as a face crop, get a line that names the switch", async ({ page }) => {
  const status = () => page.textContent("#status");
  const hint = (key: "crop_as_photo" | "photo_as_crop", language = "en") =>
    says(key, { choice: says("face_crops", {}, language) }, language);
  await drop(page, [image("small.png", await plainImage(page, 48, 48))]);
  await expect.poll(status).toBe(`${says("no_face", { name: "small.png" })} ${hint("crop_as_photo")}`);
  await page.check("#face-crops");
  await waitForText(page, "#status", /small\.png: one face, [^.]*\.$/);
  await dropAstronaut(page);
  await expect.poll(status).toMatch(/^astronaut\.png: one face,/);
  expect(await status()).toContain(hint("photo_as_crop"));
  await page.click("#languages [lang=de]");
  expect(await status()).toContain(hint("photo_as_crop", "de"));
  await page.uncheck("#face-crops");
  await waitForText(page, "#status", /astronaut\.png: ein Gesicht, [^.]*\.$/);
});

test.for([390, 1280])("images keep their proportions on a screen of %i pixels, and small ones are enlarged", async (screen, { visit }) => {
  const page = await visit.open({ viewport: { width: screen, height: 800 } });
  const longer = Math.min(256, 0.6 * screen);
  for (const [width, height] of [[1600, 900], [800, 160], [160, 800], [100, 20], [20, 100], [48, 48]] as const) {
    const name = `${width}x${height}.png`;
    await drop(page, [{ name, type: "image/png", bytes: await plainImage(page, width, height) }]);
    await waitForText(page, "#status", new RegExp(`No face found in ${name}`));
    const shown = (await page.locator("#image").boundingBox())!;
    expect(Math.abs(shown.width - (shown.height * width) / height), name).toBeLessThan(1);
    expect(shown.width, name).toBeLessThan(screen);
    if (Math.max(width, height) < 256) expect(Math.max(shown.width, shown.height), name).toBeCloseTo(longer, 0);
  }
});

// A model with two outputs, one of them taught by votes, which make_votes_model.py wrote.
pageTest({ folders: [VOTES, BUILT] })("the page says what is unsure and what is not a face", async ({ page }) => {
  await page.check("#face-crops");
  await drop(page, votesImages.map(({ name, file }) => image(name, Buffer.from(file, "base64"))));
  await expect.poll(() => page.textContent("#images"), { timeout: 20_000 }).toMatch(/^[^…]+face-4[^…]+$/);
  expect([await page.inputValue("#outputs"), await page.locator("#bars li").count()]).toEqual(["perceived", 10]);
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

test("the model's accuracy is that of the output on the screen, and none is named where none was measured", async ({ page }) => {
  // What was measured of the page's own model when it was made.
  const card = JSON.parse(readFileSync(path.join(ROOT, "src/mien/shipped/fast/card.json"), "utf8")) as { int8: { accuracy: number } };
  const figure = async () => /[\d.]+%/.exec((await page.textContent("#model"))!)?.[0];
  expect(await figure()).toBeUndefined();
  await chooseOutput(page, "fer2013");
  expect(await figure()).toBe(`${(100 * card.int8.accuracy).toFixed(1)}%`);
});
