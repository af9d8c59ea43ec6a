// What the page promises as a whole: privacy, threads, size, keyboard, languages, screens. Oracle: the browser itself.
import { readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { astronaut, BUILT, dropAstronaut, faults, says, Visit } from "./browser";

const MOST_BYTES = 6_000_000;

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin({ camera: "astronaut" });
});
afterAll(() => visit.end());

test("the first visit loads less than 6 MB, and nothing but the page's own files is ever asked for", async () => {
  const asked: { method: string; url: string }[] = [];
  const page = await visit.open({}, (fresh) =>
    Promise.resolve(fresh.on("request", (request) => asked.push({ method: request.method(), url: request.url() }))),
  );
  const sum = [...new Set(asked.map(({ url }) => new URL(url).pathname))].reduce((total, name) => {
    const bytes = readFileSync(path.join(BUILT, name === "/" ? "index.html" : name));
    return total + Math.min(gzipSync(bytes).length, bytes.length);
  }, 0);
  console.log(`first visit: ${(sum / 1e6).toFixed(2)} MB packed`);
  expect(sum).toBeGreaterThan(3_000_000);
  expect(sum).toBeLessThan(MOST_BYTES);
  const atFirst = asked.length;
  await dropAstronaut(page);
  await page.click("#explain");
  await page.waitForSelector("#map:not([hidden])");
  await page.click("#camera");
  await says(page, "#rate", /frames/);
  const later = asked.slice(atFirst).filter(({ url }) => !/^(blob|data):/.test(url));
  expect(later).toEqual([]);
  const outside = asked.filter(({ url }) => !/^(blob|data):/.test(url) && !url.startsWith(visit.address));
  expect(outside).toEqual([]);
  expect(new Set(asked.map(({ method }) => method))).toEqual(new Set(["GET"]));
  // And were a script of the page to try, the browser would refuse.
  const elsewhere = visit.address.replace("127.0.0.1", "localhost");
  const sent = page.evaluate((url) => fetch(url, { mode: "no-cors" }).then(() => true, () => false), elsewhere);
  expect(await sent).toBe(false);
  expect(faults.splice(0).filter((fault) => !/Content Security Policy/.test(fault))).toEqual([]);
  await page.context().close();
});

test("notices of the software inside the wasm are beside the page", async () => {
  const read = (name: string) => readFileSync(path.join(BUILT, name));
  const inside = gunzipSync(read("onnxruntime.wasm.gz")).toString("latin1");
  const [named, notices] = [read("licences.txt").toString(), read("onnxruntime-notices.txt").toString()];
  for (const part of ["Eigen", "protobuf", "RE2", "absl", "FlatBuffers", "nlohmann", "SafeInt"]) {
    const word = new RegExp(part, "i");
    expect(inside, part).toMatch(word);
    expect(named, part).toMatch(word);
    expect(notices, part).toMatch(part === "absl" ? /abseil/ : word);
  }
  expect(notices).toContain("Mozilla Public License Version 2.0");
  const page = await visit.open();
  const link = await page.getAttribute("footer a", "href");
  expect(await (await fetch(new URL(link!, page.url()))).text()).toBe(named);
  await page.context().close();
});

test("without COOP and COEP headers one thread does it", async () => {
  const plain = await Visit.begin({ isolated: false });
  const page = await plain.open();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
  await dropAstronaut(page);
  expect(await page.textContent("#answer strong")).toBe("happy");
  await plain.end();
});

test("with them, a machine of four cores uses two threads", async () => {
  const page = await visit.open({}, (fresh) =>
    fresh.addInitScript(() => Object.defineProperty(navigator, "hardwareConcurrency", { get: () => 4 })),
  );
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  expect(page.workers().length).toBe(1);
  await dropAstronaut(page);
  expect(await page.textContent("#answer strong")).toBe("happy");
  await page.context().close();
});

test("everything can be done by keyboard, and the focus is seen", async () => {
  const page = await visit.open();
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.parentElement?.id);
  const tabTo = async (id: string) => {
    for (let presses = 0; presses < 30 && (await focused()) !== id; presses += 1) await page.keyboard.press("Tab");
    expect(await focused()).toBe(id);
    const outline = await page.evaluate(() => {
      const active = document.activeElement!;
      const shown = active.matches("input[type=radio]") ? active.nextElementSibling! : active;
      return getComputedStyle(shown).outlineStyle;
    });
    expect(outline, id).toBe("solid");
  };
  await tabTo("choose");
  let chosen = false;
  page.on("filechooser", (chooser) => {
    if (!chosen) void chooser.setFiles(astronaut());
    chosen = true;
  });
  // Playwright takes a moment until it catches what would open a window of the system.
  while (!chosen) {
    await page.keyboard.press("Enter");
    await page.waitForTimeout(500);
  }
  await page.waitForSelector("#answer strong");
  await tabTo("boxes");
  await page.keyboard.press("Enter");
  await tabTo("explain");
  await page.keyboard.press("Space");
  await page.waitForSelector("#map:not([hidden])");
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => (document.activeElement as HTMLInputElement).name)).toBe("scheme");
  await page.keyboard.press("ArrowRight");
  expect(await page.locator("#bars li").count()).toBe(5);
  await tabTo("least");
  await page.keyboard.press("End");
  expect(await page.textContent("#least-shown")).toBe("95%");
  await tabTo("mirror");
  await page.keyboard.press("Space");
  expect(await page.isChecked("#mirror")).toBe(true);
  await tabTo("download");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  expect(download.suggestedFilename()).toBe("readings.json");
  await page.context().close();
});

test("the language follows the browser, can be changed, and is remembered", async () => {
  const page = await visit.open({ locale: "de-AT" });
  expect(await page.getAttribute("html", "lang")).toBe("de");
  await dropAstronaut(page);
  await says(page, "#status", /ein Gesicht\. fröhlich/);
  await page.click('[data-language="en"]');
  expect(await page.textContent("#status")).toMatch(/one face\. happy/);
  expect(await page.textContent("#choose")).toBe("Choose pictures");
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  expect(await page.getAttribute("html", "lang")).toBe("en");
  await page.context().close();
});

describe("with a picture read", () => {
  let page: Page;
  beforeAll(async () => {
    page = await visit.open();
    await dropAstronaut(page);
  });
  afterAll(() => page.context().close());

  test.each(["light", "dark"] as const)("%s: text stands out from its ground (WCAG AA)", async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    const ratios = await page.evaluate(contrasts);
    expect(ratios.length).toBeGreaterThan(20);
    expect(ratios.filter(({ ratio }) => ratio < 4.5)).toEqual([]);
    const ground = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    expect(ground).toBe(colorScheme === "dark" ? "rgb(22, 24, 26)" : "rgb(251, 250, 247)");
  });

  test("whatever can be used has a name for a screen reader", async () => {
    const snapshot = await page.locator("body").ariaSnapshot();
    for (const part of [
      'button "Choose pictures"',
      'button "Face 1: happy, 94%" [pressed]',
      'meter "happy"',
      'radio "all 7 expressions" [checked]',
      'slider "Say “unsure” below',
      'switch "Mirror the view"',
      'status: "astronaut.png: one face. happy, 94%."',
    ]) {
      expect(snapshot).toContain(part);
    }
    expect(snapshot).not.toMatch(/- (button|switch|slider|radio)(:|\s*$)/m);
  });

  test.each([390, 320])("on a screen of %d px nothing is cut off, and buttons suit a finger", async (width) => {
    await page.click('[data-language="de"]');
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
});

test("no page threw or complained", () => {
  expect(faults).toEqual([]);
});

/** Contrast of every piece of text with what lies behind it; runs in the page. */
function contrasts(): { text: string; ratio: number }[] {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  const rgba = (colour: string) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour: number[]) => {
    const [red, green, blue] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const behind = (element: Element | null): number[] => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const result: { text: string; ratio: number }[] = [];
  for (const element of document.querySelectorAll<HTMLElement>("main *, header *, footer *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent!.trim());
    if (!own || !element.offsetParent || element.closest(":disabled, #boxes")) continue;
    const levels = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    result.push({ text: element.textContent!.slice(0, 30), ratio: (levels[0]! + 0.05) / (levels[1]! + 0.05) });
  }
  return result;
}

