// Networks that load late, do not load, or fail. Oracle: the browser's own state of the camera, and its console.

import type { Page } from "playwright-core";
import { expect } from "vitest";

import {
  clip, drop, errorCodes, image, ODD, openVideo, pageErrors, pageTest, reports, says, startCamera, Visit, waitForText,
} from "./browser";

const RUNTIME = "**/onnxruntime.wasm-*.xz";

const test = pageTest({ camera: "astronaut" });

/** Keep the track that the page gets, to see later whether it is off. */
async function watchCamera(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await real(wanted);
      Object.assign(globalThis, { track: stream.getVideoTracks()[0] });
      return stream;
    };
  });
}

/** State of the camera that the page got: "live" is on. */
function cameraState(page: Page): Promise<string | undefined> {
  return page.evaluate(() => (globalThis as unknown as { track?: MediaStreamTrack }).track?.readyState);
}

test("networks that do not load: the error stays, and the camera is never switched on", async ({ visit }) => {
  const page = await visit.enter({}, async (fresh) => {
    await watchCamera(fresh);
    await fresh.route(RUNTIME, (route) => route.fulfill({ status: 503, body: "busy" }));
  });
  expect(await reports(page, "load-failed")).toContain("503");
  expect(await page.textContent("#status")).toBe(says("privacy"));
  await page.click("#use-camera");
  await page.waitForTimeout(500);
  expect(await cameraState(page)).not.toBe("live");
  expect(await page.textContent("#status")).toBe(says("privacy"));
  expect(await page.isVisible("#stop")).toBe(false);
  await drop(page, [image(), image("second.png")]);
  await expect.poll(() => page.textContent("#status")).toBe(says("privacy"));
  await openVideo(page, ODD, "odd.mp4");
  await expect.poll(() => page.textContent("#status")).toBe(says("privacy"));
  expect(await errorCodes(page)).toEqual(["load-failed"]);
  const english = await reports(page, "load-failed", "503");
  await page.click("#languages [lang=de]");
  expect(await errorCodes(page)).toEqual(["load-failed"]);
  expect(await reports(page, "load-failed", "503")).not.toBe(english);
  // The browser itself writes the 503 to the console; there is no other error.
  expect(pageErrors.splice(0).filter((error) => !/503/.test(error))).toEqual([]);
});

test("networks that fail: each image and the camera end with an error and its reason", async ({ visit }) => {
  const page = await visit.open({}, async (fresh) => {
    await watchCamera(fresh);
    await fresh.route("**/model.json", async (route) => {
      const manifest = (await (await route.fetch()).json()) as { input: { crop_px: number } };
      manifest.input.crop_px -= 1;
      await route.fulfill({ json: manifest });
    });
  });
  await drop(page, [image(), image("second.png")]);
  expect(await reports(page, "prediction-failed", "astronaut.png")).toContain("invalid dimensions");
  await reports(page, "prediction-failed", "second.png");
  expect(await errorCodes(page)).toEqual(["prediction-failed", "prediction-failed"]);
  expect(await page.textContent("#images")).toBe("");
  expect(await page.textContent("#status")).toBe(says("privacy"));
  await page.click("#use-camera");
  const english = await reports(page, "prediction-failed", "webcam");
  expect(await errorCodes(page)).toEqual(["prediction-failed"]);
  expect(await cameraState(page)).toBe("ended");
  expect(await page.isVisible("#stop")).toBe(false);
  await page.click("#languages [lang=de]");
  expect(await reports(page, "prediction-failed", "webcam")).not.toBe(english);
  // The console has the stack; there is no unhandled error.
  expect(pageErrors.splice(0).filter((error) => !/invalid dimensions/.test(error))).toEqual([]);
});

test("while networks load: the page says so, and the camera and images wait and can be stopped", async ({ visit }) => {
  let release = () => {};
  const released = new Promise<void>((done) => (release = done));
  const page = await visit.enter({}, async (fresh) => {
    await watchCamera(fresh);
    await fresh.route(RUNTIME, async (route) => {
      await released;
      await route.continue();
    });
  });
  await page.waitForSelector("#bars li", { state: "attached" });
  expect(await page.textContent("#status")).toBe("Loading the networks …");
  await page.click("#languages [lang=de]");
  expect(await page.textContent("#status")).toBe("Die Netze werden geladen …");
  await page.click("#use-camera");
  await page.waitForTimeout(300);
  expect(await cameraState(page)).toBeUndefined();
  await page.click("#stop");
  await openVideo(page, clip("astronaut"));
  await page.click("#stop");
  await drop(page, [image()]);
  await page.click("#clear-images");
  expect(await page.textContent("#status")).toBe(says("privacy", {}, "de"));
  release();
  await page.waitForSelector("html[data-ready]");
  await page.waitForTimeout(500);
  expect(await cameraState(page)).not.toBe("live");
  expect(await page.isVisible("#video")).toBe(false);
  expect(await page.textContent("#status")).toBe(says("privacy", {}, "de"));
  expect(await page.isDisabled("#copy")).toBe(true);
  // Images that are dropped one after another wait for one another.
  for (const name of ["1.png", "2.png", "3.png"]) await drop(page, [image(name)]);
  await expect.poll(() => page.textContent("#images")).toMatch(/^(fröhlich \d+.%\d\.png){3}$/);
  expect(await errorCodes(page)).toEqual([]);
});

test("a stopped camera is off, and an explanation that was asked before still comes", async ({ visit }) => {
  const page = await visit.open({}, watchCamera);
  await startCamera(page);
  await page.waitForSelector("#explain:enabled");
  expect(await cameraState(page)).toBe("live");
  await page.evaluate(() => {
    document.querySelector<HTMLButtonElement>("#explain")!.click();
    document.querySelector<HTMLButtonElement>("#stop")!.click();
  });
  expect(await cameraState(page)).toBe("ended");
  // The face is still there, with its map.
  await page.waitForSelector("#map:not([hidden])");
  expect(await page.textContent("#status")).toBe("");
});

test("a file that is no image leaves a camera that is being opened", async ({ visit }) => {
  const page = await visit.open({}, async (fresh) => {
    await fresh.addInitScript(() => {
      const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      const allowed = new Promise<void>((allow) => Object.assign(globalThis, { allow }));
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        await allowed;
        return real(wanted);
      };
    });
  });
  await page.click("#use-camera");
  await drop(page, [image(undefined, ODD)]);
  await reports(page, "image-unreadable", "astronaut.png");
  await page.evaluate(() => (globalThis as unknown as { allow: () => void }).allow());
  await waitForText(page, "#throughput", /frames/);
});

test("the page can be installed; after one visit it works without a network, and unpacks nothing again", async () => {
  const own = await Visit.begin();
  const page = await own.open({ serviceWorkers: "allow" });
  const session = await page.context().newCDPSession(page);
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  // A private window, as tests have it, is the only reason left.
  expect(installabilityErrors.map(({ errorId }) => errorId)).toEqual(["in-incognito"]);
  await page.evaluate(() => navigator.serviceWorker.ready);
  const keptNames = () => page.evaluate(async () => {
    const keys = await (await caches.open("mien")).keys();
    return keys.map(({ url }) => new URL(url).pathname.replace(/-[\w-]{8}(\.|$)/, "$1"));
  });
  await expect.poll(keptNames).toEqual(expect.arrayContaining(["/", "/assets/index.js", "/assets/onnxruntime.wasm", "/model.onnx"]));
  await own.stopServer();
  await page.goto(new URL("?webcam=0", own.address).href);
  await page.waitForSelector("html[data-ready]");
  expect(await keptNames()).not.toContain("/assets/onnxruntime.wasm.xz");
  await page.click("#examples button");
  await waitForText(page, "#status", /bolivia-36\.jpg: one face, happy/);
  // What changes its name with its content is asked for no more; the rest is, in vain.
  expect(pageErrors.splice(0).filter((error) => !/ERR_CONNECTION_REFUSED|Failed to load resource/.test(error))).toEqual([]);
  await own.end();
});
