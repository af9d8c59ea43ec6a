// Networks that come late, or not at all, or fail. Oracle: the browser's own account of the camera and of what went wrong.
import { readFileSync } from "node:fs";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { astronaut, drop, faults, says, Visit } from "./browser";

const RUNTIME = "**/onnxruntime.wasm.gz";

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin({ camera: "astronaut" });
});
afterAll(() => visit.end());

/** Keep every stream that the page is given, to see later whether it is off. */
async function watchCamera(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const streams: MediaStream[] = [];
    const media = navigator.mediaDevices;
    const real = media.getUserMedia.bind(media);
    media.getUserMedia = async (wanted) => {
      const stream = await real(wanted);
      streams.push(stream);
      return stream;
    };
    Object.assign(globalThis, { streams });
  });
}

/** State of every track that the page was given: "live" is a camera that is on. */
function tracks(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    (globalThis as unknown as { streams: MediaStream[] }).streams.flatMap((stream) =>
      stream.getTracks().map(({ readyState }) => readyState as string),
    ),
  );
}

const photo = () => ({ name: "astronaut.png", type: "image/png", bytes: readFileSync(astronaut()) });

test("a host that refuses them: the page says so for good, and the camera stays off", async () => {
  const page = await visit.enter({}, async (fresh) => {
    await watchCamera(fresh);
    await fresh.route(RUNTIME, (route) => route.fulfill({ status: 503, body: "busy" }));
  });
  await says(page, "#fault", /could not load its networks.*503/);
  expect(await page.textContent("#status")).toBe("");
  await page.click("#camera");
  await page.waitForTimeout(500);
  expect(await tracks(page)).not.toContain("live");
  expect(await page.textContent("#status")).toBe("");
  expect(await page.isVisible("#stop")).toBe(false);
  await drop(page, [photo(), { ...photo(), name: "second.png" }]);
  await expect.poll(() => page.textContent("#status")).toBe("");
  await page.setInputFiles("#video-file", { name: "odd.mp4", mimeType: "video/mp4", buffer: Buffer.from("odd") });
  await expect.poll(() => page.textContent("#status")).toBe("");
  expect(await page.textContent("#fault")).toMatch(/^The page could not load .*503.* build the page again\.$/);
  await page.click('[data-language="de"]');
  expect(await page.textContent("#fault")).toMatch(/^Die Seite konnte ihre Netze nicht laden/);
  // The browser itself tells the console of the 503; nothing else went wrong.
  expect(faults.splice(0).filter((fault) => !/503/.test(fault))).toEqual([]);
  await page.context().close();
});

test("networks that fail: each picture and the camera get an end, and the reason is said", async () => {
  const page = await visit.open({}, async (fresh) => {
    await watchCamera(fresh);
    await fresh.route("**/model.json", async (route) => {
      const manifest = (await (await route.fetch()).json()) as { input: { crop_px: number } };
      manifest.input.crop_px -= 1;
      await route.fulfill({ json: manifest });
    });
  });
  await drop(page, [photo(), { ...photo(), name: "second.png" }]);
  await says(page, "#fault", /Reading astronaut\.png failed \(.*invalid dimensions.*Reading second\.png failed/s);
  expect(await page.textContent("#pictures")).toBe("");
  expect(await page.textContent("#status")).toBe("");
  await page.click("#camera");
  await says(page, "#fault", /^Reading webcam failed \(.*reload the page\.$/s);
  expect(await tracks(page)).toEqual(["ended"]);
  expect(await page.isVisible("#stop")).toBe(false);
  await page.click('[data-language="de"]');
  expect(await page.textContent("#fault")).toMatch(/^webcam ließ sich nicht ablesen/);
  // The console has where it happened; nothing was thrown into the void.
  expect(faults.splice(0).filter((fault) => !/invalid dimensions/.test(fault))).toEqual([]);
  await page.context().close();
});

test("while they load the page says so; the camera waits for them, and can be stopped before", async () => {
  let release = () => {};
  const released = new Promise<void>((done) => (release = done));
  const page = await visit.enter({}, async (fresh) => {
    await watchCamera(fresh);
    await fresh.route(RUNTIME, async (route) => {
      await released;
      await route.continue();
    });
  });
  await page.waitForSelector("#bars li");
  expect(await page.textContent("#status")).toBe("Loading the networks, once …");
  await page.click('[data-language="de"]');
  expect(await page.textContent("#status")).toBe("Die Netze werden einmalig geladen …");
  await page.click("#camera");
  await page.waitForTimeout(300);
  expect(await tracks(page)).toEqual([]);
  await page.click("#stop");
  release();
  await page.waitForSelector("html[data-ready]");
  await page.waitForTimeout(500);
  expect(await tracks(page)).not.toContain("live");
  expect(await page.isVisible("#video")).toBe(false);
  expect(await page.textContent("#status")).toBe("");
  expect(await page.isDisabled("#copy")).toBe(true);
  await page.context().close();
});

test("a camera that was used and stopped is off; what was asked before is answered", async () => {
  const page = await visit.open({}, watchCamera);
  await page.click("#camera");
  await says(page, "#rate", /frames/);
  await page.waitForSelector("#explain:enabled");
  expect(await tracks(page)).toEqual(["live"]);
  await page.evaluate(() => {
    document.querySelector<HTMLButtonElement>("#explain")!.click();
    document.querySelector<HTMLButtonElement>("#stop")!.click();
  });
  expect(await tracks(page)).toEqual(["ended"]);
  // The face that was asked about is still there, and explained.
  await page.waitForSelector("#map:not([hidden])");
  expect(await page.textContent("#status")).toBe("");
  await page.context().close();
});

test("no page threw or complained", () => {
  expect(faults).toEqual([]);
});
