// Oracle: the photo that the fake camera shows, and what browsers do without one.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Camera, faults, saved, says, Visit } from "./browser";

interface LiveAnswer {
  time_seconds: number;
  face: number;
  source: string;
  top: string;
}

async function framesRead(page: Page): Promise<number> {
  const text = (await page.textContent("#rate")) ?? "";
  return Number(/([\d,]+) frames$/.exec(text)?.[1]?.replace(",", "") ?? 0);
}

describe("with a camera", () => {
  let visit: Visit;
  beforeAll(async () => {
    visit = await Visit.begin({ camera: "astronaut" });
  });
  afterAll(() => visit.end());

  test("frames are read one after another, counted, drawn and kept", async () => {
    const page = await visit.open();
    await page.click("#camera");
    await expect.poll(() => framesRead(page), { timeout: 20_000 }).toBeGreaterThan(10);
    expect(await page.textContent("#answer strong")).toBe("happy");
    expect(await page.isChecked("#mirror")).toBe(true);
    await says(page, "#told", /happy/);
    expect(await page.getAttribute("#timeline-canvas", "aria-label")).toContain("happy");
    console.log(`webcam, wasm: ${await page.textContent("#rate")}`);
    const answers = (await saved(page)) as unknown as LiveAnswer[];
    expect(answers.length).toBeGreaterThan(5);
    expect(new Set(answers.map(({ face }) => face))).toEqual(new Set([1]));
    expect(answers[0]).toMatchObject({ source: "webcam" });
    const times = answers.map(({ time_seconds: seconds }) => seconds);
    expect(times).toEqual(times.toSorted((one, other) => one - other));
    await page.click("#explain");
    await page.waitForSelector("#map:not([hidden])");
    await page.focus("#stop");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("camera");
    await page.waitForTimeout(300);
    const count = await framesRead(page);
    await page.waitForTimeout(300);
    expect(await framesRead(page)).toBe(count);
    // Nothing comes any more, and still what stands there follows the language.
    await page.click('[data-language="de"]');
    expect(await page.textContent("#rate")).toMatch(/ ms je Bild · \d+ Bilder$/);
    expect(await page.getAttribute("#timeline-canvas", "aria-label")).toContain("Am häufigsten: fröhlich");
    await page.context().close();
  });

  test("the address of `mien webcam` begins by itself", async () => {
    const page = await visit.open({}, undefined, "?webcam=1");
    await expect.poll(() => framesRead(page), { timeout: 20_000 }).toBeGreaterThan(2);
    expect(await page.textContent("#answer strong")).toBe("happy");
    await page.context().close();
  });

  test("a video file is read while it plays", async () => {
    const page = await visit.open();
    const film = await page.evaluate(async () => {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
      const recorder = new MediaRecorder(stream, { mimeType: "video/webm;codecs=vp8" });
      const parts: Blob[] = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const ended = new Promise((done) => (recorder.onstop = done));
      recorder.start();
      await new Promise((done) => setTimeout(done, 2500));
      recorder.stop();
      await ended;
      stream.getTracks().forEach((track) => track.stop());
      const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
      return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    });
    const buffer = Buffer.from(film, "latin1");
    await page.setInputFiles("#video-file", { name: "clip.webm", mimeType: "video/webm", buffer });
    // Played again where a busy machine read none of its frames.
    const answer = async () => {
      await page.evaluate(() => {
        const video = document.querySelector("video")!;
        if (video.ended) void video.play();
      });
      return page.textContent("#answer");
    };
    await expect.poll(answer, { timeout: 20_000, interval: 500 }).toMatch(/^happy/);
    const answers = (await saved(page)) as unknown as LiveAnswer[];
    expect(answers[0]).toMatchObject({ source: "clip.webm", top: "happy" });
    await page.setInputFiles("#video-file", { name: "odd.mp4", mimeType: "video/mp4", buffer: Buffer.from("odd") });
    await says(page, "#fault", /odd\.mp4 is not a video/);
    await page.context().close();
  });
});

describe.each<[Camera, RegExp]>([
  ["denied", /not allowed for this page/],
  ["absent", /No camera was found/],
])("with a camera that is %s", (camera, words) => {
  test("the page says so, and what to do", async () => {
    const visit = await Visit.begin({ camera });
    const page = await visit.open();
    await page.click("#camera");
    await says(page, "#fault", words);
    expect(await page.isVisible("#invitation")).toBe(true);
    expect(await page.isVisible("#stop")).toBe(false);
    await visit.end();
  });
});

test("no page threw or complained", () => {
  expect(faults).toEqual([]);
});
