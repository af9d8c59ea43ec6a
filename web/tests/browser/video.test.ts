// Camera and video files. Oracle: the photo that the fake camera shows, and what browsers do without a camera.

import { describe, expect } from "vitest";

import type { SavedPrediction } from "../../src/predictions/saved_files";
import {
  clickWhileProcessing, clip, drop, dropAstronaut, errorCodes, frameCount, image, ODD, openVideo, pageTest, reports,
  saved, says, startCamera, Visit, waitForText,
} from "./browser";

type FramePrediction = Required<SavedPrediction>;

const test = pageTest({ camera: "astronaut" });

describe("with a camera", () => {
  test("frames are processed one after another, counted, drawn and kept", async ({ page }) => {
    await page.click("#use-camera");
    await expect.poll(() => frameCount(page), { timeout: 20_000 }).toBeGreaterThan(10);
    expect(await page.textContent("#answer strong")).toBe("happy");
    expect(await page.isChecked("#mirror")).toBe(true);
    await waitForText(page, "#announcement", /happy/);
    expect(await page.getAttribute("#timeline-canvas", "aria-label")).toContain("happy");
    console.log(`webcam, wasm: ${await page.textContent("#throughput")}`);
    const predictions = (await saved(page)) as unknown as FramePrediction[];
    expect(predictions.length).toBeGreaterThan(5);
    expect(predictions[0]).toMatchObject({ source: "webcam", top: "happy" });
    const times = predictions.map(({ time_seconds: seconds }) => seconds);
    expect(times).toEqual([...new Set(times)].toSorted((one, other) => one - other));
    // A busy machine may lose the face meanwhile, and then shows no map of it: ask again.
    const isExplained = async () => {
      await page.click("#explain");
      await page.waitForTimeout(2000);
      return page.isVisible("#map");
    };
    await expect.poll(isExplained, { timeout: 40_000 }).toBe(true);
    await page.focus("#stop");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("use-camera");
    await page.waitForTimeout(300);
    const count = await frameCount(page);
    await page.waitForTimeout(300);
    expect(await frameCount(page)).toBe(count);
    // No frame comes any more, and the text still follows the language.
    await page.click("#languages [lang=de]");
    expect(await page.textContent("#throughput")).toMatch(/ ms je Bild · \d+ Bilder$/);
    expect(await page.getAttribute("#timeline-canvas", "aria-label")).toContain("Am häufigsten: fröhlich");
  });

  test("the address that `mien webcam` opens starts the camera", async ({ visit }) => {
    const page = await visit.open({}, undefined, "?webcam=1");
    await expect.poll(() => frameCount(page), { timeout: 20_000 }).toBeGreaterThan(2);
    expect(await page.textContent("#answer strong")).toBe("happy");
  });

  test("of a video file every frame is analysed, however slow the machine; then it plays with what was found", async ({ page }) => {
    const seeks = await page.evaluateHandle(() => {
      const counted = { seeks: 0 };
      document.querySelector("video")!.addEventListener("seeked", () => (counted.seeks += 1));
      return counted;
    });
    await openVideo(page, clip("two"), "two.webm");
    await waitForText(page, "#status", /Analysing two\.webm/);
    expect(await page.isDisabled("#play")).toBe(true);
    await page.waitForSelector("#play:enabled", { timeout: 60_000 });
    // A seek decodes from the last key frame on, so most frames are reached by playing.
    expect(await seeks.evaluate(({ seeks: count }) => count)).toBeLessThan(70);
    // make_video.py wrote 75 frames, 30 a second; the larger face leaves after 37.
    expect(await page.textContent("#status")).toBe("two.webm: 75 frames analysed.");
    const predictions = (await saved(page)) as unknown as FramePrediction[];
    const times = [...new Set(predictions.map(({ time_seconds: seconds }) => seconds))];
    expect(times).toHaveLength(75);
    times.forEach((seconds, index) => expect(seconds).toBeCloseTo(index / 30, 6));
    expect(predictions[0]).toMatchObject({ source: "two.webm", top: "happy" });
    const numbersAt = (left: boolean) => new Set(predictions.filter(({ box }) => box.left < 240 === left).map(({ track }) => track));
    expect(numbersAt(true)).toEqual(new Set([1]));
    expect(numbersAt(false)).toEqual(new Set([2]));
    expect(predictions.filter(({ track }) => track === 2).length).toBeGreaterThan(70);
    const lastOfFirst = Math.max(...predictions.filter(({ track }) => track === 1).map(({ time_seconds: seconds }) => seconds));
    expect(lastOfFirst).toBeCloseTo(36 / 30, 1);
    // At a later time only the second is there; the timeline jumps back to where both are.
    const numbers = () => page.locator("#boxes button").evaluateAll((all) => all.map((each) => (each as HTMLElement).dataset["face"]).sort());
    await page.locator("#seek").fill("2");
    await expect.poll(numbers).toEqual(["2"]);
    const canvas = (await page.locator("#timeline-canvas").boundingBox())!;
    await page.locator("#timeline-canvas").click({ position: { x: 0.2 * canvas.width, y: 20 } });
    await expect.poll(numbers).toEqual(["1", "2"]);
    expect(await page.evaluate(() => document.querySelector("video")!.currentTime)).toBeCloseTo(0.5, 1);
    // The timeline is that of the chosen face, also while the video is paused.
    const drawn = () => page.evaluate(() => document.querySelector<HTMLCanvasElement>("#timeline-canvas")!.toDataURL());
    await page.click('#boxes button[data-face="1"]');
    const first = await drawn();
    await page.click('#boxes button[data-face="2"]');
    expect(await drawn()).not.toBe(first);
    // A face is explained as it was there; its map goes with it.
    await page.click('#boxes button[data-face="1"]');
    await page.click("#explain");
    await page.waitForSelector("#map:not([hidden])");
    await page.click("#play");
    await expect.poll(() => page.textContent("#play")).toBe("Pause");
    await expect.poll(numbers).toEqual(["2"]);
    expect(await page.isVisible("#map")).toBe(false);
    await openVideo(page, ODD, "odd.mp4");
    await reports(page, "video-unreadable", "odd.mp4");
    expect(await page.isEnabled("#save"), "the clip before it is kept").toBe(true);
  });

  test("an analysis can be stopped, and what was found until then is kept", async ({ page }) => {
    await drop(page, [{ name: "LICENSE", type: "", bytes: ODD }, { name: "clip.webm", type: "video/webm", bytes: clip("astronaut") }]);
    await expect.poll(() => frameCount(page), { timeout: 20_000 }).toBeGreaterThan(5);
    await reports(page, "files-skipped", "LICENSE");
    // A file that is no image does not stop it.
    await drop(page, [image("odd.png", ODD)]);
    await reports(page, "image-unreadable", "odd.png");
    const before = await frameCount(page);
    await expect.poll(() => frameCount(page), { timeout: 20_000 }).toBeGreaterThan(before + 2);
    await page.click("#stop");
    await page.waitForSelector("#play:enabled");
    expect(await page.textContent("#status")).toMatch(/^clip\.webm: \d+ frames analysed, up to 0:0\d\.\d+\.$/);
    const count = await frameCount(page);
    expect(count).toBeLessThan(75);
    expect(await saved(page)).toHaveLength(count);
  });

  test("a whole file is not damaged where the browser ends within its last frame, as a busy one does", async ({ page }) => {
    await page.locator("#video").evaluate((video: HTMLVideoElement) => {
      Object.defineProperty(video, "ended", { get: () => video.currentTime > video.duration - 0.02 });
    });
    await openVideo(page, clip("astronaut"));
    await page.waitForSelector("#play:enabled", { timeout: 60_000 });
    expect(await page.textContent("#status")).toMatch(/^clip\.webm: \d+ frames analysed\.$/);
    expect(await errorCodes(page)).toEqual([]);
  });

  test("a file that was cut off ends at its last frame, is reported, and plays", async ({ page }) => {
    const whole = clip("astronaut");
    await openVideo(page, whole.subarray(0, whole.length / 2), "cut.webm");
    await reports(page, "video-broken", "cut.webm");
    await page.waitForSelector("#play:enabled");
    const times = ((await saved(page)) as unknown as FramePrediction[]).map(({ time_seconds: seconds }) => seconds);
    // FFmpeg decodes 18 frames; the browser says that the file lasts 2.5 seconds.
    expect(Math.round(30 * times.at(-1)!)).toBe(17);
  });

  test.for([
    // make_video.py wrote no frames from 0.67 to 1.67 s.
    { shown: "frozen", times: Array.from({ length: 75 }, (_, index) => index / 30) },
    { shown: "slow", times: [0, 1, 2, 3] },
  ] as const)("a $shown clip has all its moments, and shows its faces as long as they are shown", async ({ shown, times }, { page }) => {
    await openVideo(page, clip(shown), `${shown}.webm`);
    await page.waitForSelector("#play:enabled", { timeout: 60_000 });
    const seen = ((await saved(page)) as unknown as FramePrediction[]).map(({ time_seconds: seconds }) => seconds);
    expect(seen).toEqual(times.map((seconds) => expect.closeTo(seconds, 6)));
    await page.locator("#seek").fill(String(times.at(-1)! - 0.2));
    await waitForText(page, "#answer", /happy/);
    expect(await page.locator("#boxes button").count()).toBe(1);
  });

  test("a video that breaks off is reported, and its predictions stay", async ({ page }) => {
    await openVideo(page, clip("astronaut"));
    await expect.poll(() => frameCount(page), { timeout: 20_000 }).toBeGreaterThan(2);
    await page.locator("#video").evaluate((video) => video.dispatchEvent(new Event("error")));
    await reports(page, "video-broken", "clip.webm");
    expect(await page.isVisible("#stop")).toBe(false);
    expect((await saved(page)).length).toBeGreaterThan(1);
    expect(await page.isVisible("#video")).toBe(true);
  });

  test("images are listed beside a camera, and choosing one ends the camera", async ({ page }) => {
    await dropAstronaut(page);
    await startCamera(page);
    await page.click("#stop");
    await page.click("#images button");
    await waitForText(page, "#status", /astronaut\.png: one face/);
    expect(await page.isVisible("#image")).toBe(true);
    expect(await page.locator("#video").evaluate((video: HTMLVideoElement) => video.srcObject)).toBe(null);
    expect(await saved(page)).toHaveLength(1);
  });

  test("a video of which the browser plays only the sound is refused and stopped", async ({ page }) => {
    await openVideo(page, clip("sound"), "sound.webm");
    await reports(page, "video-unreadable", "sound.webm");
    expect(await page.isVisible("#invitation")).toBe(true);
    expect(await page.textContent("#status")).toBe(says("privacy"));
    const video = page.locator("#video");
    expect(await video.evaluate((each: HTMLVideoElement) => each.paused && each.readyState)).toBe(0);
    // An image that was on the screen stays.
    await dropAstronaut(page);
    await openVideo(page, clip("sound"), "sound.webm");
    await reports(page, "video-unreadable", "sound.webm");
    await waitForText(page, "#status", /astronaut\.png: one face/);
    expect(await page.isVisible("#image")).toBe(true);
  });

  test("images that the switch resets while the camera runs are processed with the next image", async ({ page }) => {
    await drop(page, [image("one.png"), image("two.png")]);
    await expect.poll(() => page.textContent("#images")).toMatch(/^happy.*one\.pnghappy.*two\.png$/);
    await startCamera(page);
    await page.check("#face-crops");
    await page.click("#stop");
    await drop(page, [image("three.png")]);
    // All three names with an answer: an empty list would also have no "…".
    await expect.poll(() => page.textContent("#images")).toMatch(/^[^…]+one\.png[^…]+two\.png[^…]+three\.png$/);
    const predictions = await saved(page);
    expect(predictions.map(({ source }) => source)).toEqual(["one.png", "two.png", "three.png"]);
    expect(predictions.filter((each) => "box" in each)).toEqual([]);
  });

  test("the first answer of each source is announced to screen readers", async ({ page }) => {
    await page.click("#use-camera");
    await waitForText(page, "#announcement", /happy/);
    await page.click("#stop");
    await page.locator("#announcement").evaluate((element) => (element.textContent = "announced before"));
    await page.click("#use-camera");
    await waitForText(page, "#announcement", /happy/);
  });
});

test.each([["denied", "camera-denied"], ["absent", "camera-missing"]] as const)("a camera that is %s is reported", async (camera, code) => {
  const visit = await Visit.begin({ camera });
  const page = await visit.open();
  await page.click("#use-camera");
  await reports(page, code);
  expect([await page.isVisible("#invitation"), await page.isVisible("#stop")]).toEqual([true, false]);
  await visit.end();
});

test("a camera that is denied after a video: the video and its predictions stay", async () => {
  const visit = await Visit.begin({ camera: "denied" });
  const page = await visit.open();
  await openVideo(page, clip("astronaut"));
  await expect.poll(() => frameCount(page), { timeout: 20_000 }).toBeGreaterThan(2);
  await page.click("#use-camera");
  await reports(page, "camera-denied");
  expect(await page.isVisible("#video")).toBe(true);
  const predictions = await saved(page);
  expect(predictions.length).toBeGreaterThan(1);
  expect(new Set(predictions.map(({ source }) => source))).toEqual(new Set(["clip.webm"]));
  // The analysis ended where the camera was asked for.
  expect(await page.isEnabled("#play")).toBe(true);
  await visit.end();
});

test("a camera that is denied while an image is processed: the image is shown", async () => {
  const visit = await Visit.begin({ camera: "denied" });
  const page = await visit.open();
  await clickWhileProcessing(page, "#use-camera");
  await dropAstronaut(page);
  await reports(page, "camera-denied");
  expect(await page.isVisible("#image")).toBe(true);
  await visit.end();
});
