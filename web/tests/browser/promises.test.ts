// What docs/web.md promises: requests, size, threads, keyboard, languages, screens. Oracle: the browser itself.
import { readFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { expect } from "vitest";

import {
  astronaut, BUILT, dropAstronaut, focused, pageErrors, pageTest, ROOT, startCamera, Visit, waitForText,
} from "./browser";

/** The first visit as gzip sends it. */
const MAX_BYTES = 4_000_000;

/** Every request of the first visit with one thread, without the hashes in the names. */
const FIRST_VISIT = [
  ...["bolivia-36", "haiti-22", "kyrgyzstan-34", "usa-74"].map((name) => `/assets/${name}.jpg`),
  ...["/", "/assets/detector.onnx", "/assets/index.css", "/assets/index.js", "/assets/onnxruntime.wasm.xz"],
  ...["/assets/ort.wasm.bundle.min.js", "/icon.svg", "/model.json", "/model.onnx", "/models.json"],
];

const test = pageTest({ camera: "astronaut" });

test("the first visit stays below 4 MB, and the page only ever asks for its own files", async ({ visit }) => {
  const requests: { method: string; url: string }[] = [];
  const page = await visit.open({}, (fresh) => {
    fresh.on("request", (request) => {
      // Images that the user chose, and the examples, are the page's own.
      if (!/^(blob|data):/.test(request.url())) requests.push({ method: request.method(), url: request.url() });
    });
    // More threads would load onnxruntime's script again.
    return fresh.addInitScript(() => Object.defineProperty(navigator, "hardwareConcurrency", { get: () => 1 }));
  });
  await page.waitForSelector("#examples li:nth-child(4)");
  const sum = [...new Set(requests.map(({ url }) => new URL(url).pathname))].reduce((total, name) => {
    const bytes = readFileSync(path.join(BUILT, name === "/" ? "index.html" : name));
    return total + Math.min(gzipSync(bytes).length, bytes.length);
  }, 0);
  console.log(`first visit: ${(sum / 1e6).toFixed(2)} MB packed`);
  expect(sum).toBeGreaterThan(2_500_000);
  expect(sum).toBeLessThan(MAX_BYTES);
  const files = requests.map(({ url }) => new URL(url).pathname.replace(/-[\w-]{8}\./, ".")).toSorted();
  expect(files).toEqual(FIRST_VISIT.toSorted());
  const atFirst = requests.length;
  await dropAstronaut(page);
  await page.click("#explain");
  await page.waitForSelector("#map:not([hidden])");
  await startCamera(page);
  expect(requests.slice(atFirst)).toEqual([]);
  const outside = requests.filter(({ url }) => !url.startsWith(visit.address));
  expect(outside).toEqual([]);
  expect(new Set(requests.map(({ method }) => method))).toEqual(new Set(["GET"]));
  // The browser refuses a request of a script to another host.
  const elsewhere = visit.address.replace("127.0.0.1", "localhost");
  const sent = page.evaluate((url) => fetch(url, { mode: "no-cors" }).then(() => true, () => false), elsewhere);
  expect(await sent).toBe(false);
  expect(pageErrors.splice(0).filter((error) => !/Content Security Policy/.test(error))).toEqual([]);
});

test("the notices of the software inside the wasm are beside the page", async ({ visit }) => {
  const read = (name: string) => readFileSync(path.join(BUILT, name));
  const inside = readFileSync(path.join(ROOT, "web/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm")).toString("latin1");
  const [named, notices] = [read("licences.txt").toString(), read("onnxruntime-notices.txt").toString()];
  for (const part of ["Eigen", "protobuf", "RE2", "absl", "FlatBuffers", "nlohmann", "SafeInt"]) {
    const word = new RegExp(part, "i");
    expect(inside, part).toMatch(word);
    expect(named, part).toMatch(word);
    expect(notices, part).toMatch(part === "absl" ? /abseil/ : word);
  }
  expect(notices).toContain("Mozilla Public License Version 2.0");
  const page = await visit.open();
  const link = await page.getAttribute('footer a[href$="licences.txt"]', "href");
  expect(await (await fetch(new URL(link!, page.url()))).text()).toBe(named);
});

test.each([
  { isolated: false, workers: 0 },
  { isolated: true, workers: 1 },
])("on four cores the page uses two threads only with COOP and COEP headers: $isolated", async ({ isolated, workers }) => {
  const served = await Visit.begin({ isolated });
  const page = await served.open({}, (fresh) => fresh.addInitScript(() => Object.defineProperty(navigator, "hardwareConcurrency", { get: () => 4 })));
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
  expect(page.workers()).toHaveLength(workers);
  await dropAstronaut(page);
  expect(await page.textContent("#answer strong")).toBe("happy");
  await served.end();
});

test("the keyboard reaches every control, and the focus is visible", async ({ page }) => {
  const tabTo = async (id: string) => {
    for (let presses = 0; presses < 30 && (await focused(page)) !== id; presses += 1) await page.keyboard.press("Tab");
    expect(await focused(page)).toBe(id);
    expect(await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle), id).toBe("solid");
  };
  await tabTo("choose-images");
  let chosen = false;
  page.on("filechooser", (chooser) => {
    if (!chosen) void chooser.setFiles(astronaut());
    chosen = true;
  });
  // Playwright takes a moment until it catches the file dialog.
  while (!chosen) {
    await page.keyboard.press("Enter");
    await page.waitForTimeout(500);
  }
  await page.waitForSelector("#answer strong");
  await tabTo("boxes");
  await page.keyboard.press("Enter");
  await tabTo("mirror");
  await page.keyboard.press("Space");
  expect(await page.isChecked("#mirror")).toBe(true);
  await tabTo("clear-images");
  await tabTo("more-bars");
  await page.keyboard.press("Enter");
  expect(await page.locator("#bars li").count()).toBe(3);
  await tabTo("min-confidence");
  await page.keyboard.press("End");
  expect(await page.textContent("#min-confidence-value")).toBe("99%");
  await tabTo("explain");
  await page.keyboard.press("Space");
  await page.waitForSelector("#map:not([hidden])");
  await tabTo("save");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  expect(download.suggestedFilename()).toBe("predictions.json");
  await tabTo("outputs");
  await page.keyboard.press("F");
  await page.keyboard.press("Tab");
  // FER2013's label has label schemes.
  expect(await focused(page)).toBe("schemes");
  await tabTo("face-crops");
});

test.for([
  ["de-AT", "de", /ein Gesicht, fröhlich/],
  ["fr-CA", "fr", /un visage, joyeux, 9\d/],
] as const)("the language follows the browser, can be changed, and is remembered: %s", async ([locale, language, status], { visit }) => {
  const page = await visit.open({ locale });
  expect(await page.getAttribute("html", "lang")).toBe(language);
  expect(await page.locator("#languages button").allTextContents()).toEqual(["DE", "EN", "FR"]);
  await dropAstronaut(page);
  await waitForText(page, "#status", status);
  await page.click("#languages [lang=en]");
  expect(await page.textContent("#status")).toMatch(/one face, happy/);
  expect(await page.textContent("#choose-images")).toBe("Images");
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  expect(await page.getAttribute("html", "lang")).toBe("en");
});

test("every control has a name for screen readers", async ({ page }) => {
  await dropAstronaut(page);
  const snapshot = await page.locator("body").ariaSnapshot();
  expect(snapshot).not.toMatch(/- (button|switch|slider|combobox)(:|\s*$)/m);
  const { answer } = JSON.parse(readFileSync(path.join(BUILT, "model.json"), "utf8")) as { answer: { unsure_below: number } };
  const limit = Math.round(100 * answer.unsure_below);
  for (const part of [
    'button "Images"',
    /button "Face 1: happy, 9\d%" \[pressed\]/,
    'meter "happy"',
    'meter "not a face"',
    'combobox "Answer"',
    'option "expression" [selected]',
    'option "what people see"',
    'option "faces in photographs"',
    `slider "Say “unsure” below ${limit}%": "${limit}"`,
    'switch "Mirror"',
    'region "Faces and images"',
    /status: "astronaut\.png: one face, happy, 9\d%\."/,
  ]) expect(snapshot).toMatch(part);
});

test.for([390, 320])("on a screen of %d px nothing is cut off, and buttons are 40 px high", async (width, { page }) => {
  await dropAstronaut(page);
  await page.click("#languages [lang=de]");
  await page.setViewportSize({ width, height: 800 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  const wide = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("body *:not(#boxes *)")]
      .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
      .map((each) => each.outerHTML.slice(0, 80)),
  );
  expect(wide).toEqual([]);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button:not(#boxes *)")]
      .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 40)
      .map((each) => each.textContent),
  );
  expect(small).toEqual([]);
});
