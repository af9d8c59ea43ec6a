// Oracle: the photo that the fake camera shows, and what browsers do without one.
import { readFileSync } from "node:fs";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { astronaut, type Camera, clickWhileLooking, drop, dropAstronaut, faults, film, saved, says, Visit } from "./browser";

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
    const buffer = await film(page, "astronaut");
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
    // Its player's controls would be mirrored too.
    expect(await page.isDisabled("#mirror")).toBe(true);
    await page.setInputFiles("#video-file", { name: "odd.mp4", mimeType: "video/mp4", buffer: Buffer.from("odd") });
    await says(page, "#fault", /odd\.mp4 is not a video/);
    await dropAstronaut(page);
    expect(await page.isEnabled("#mirror")).toBe(true);
    await page.context().close();
  });

  test("a face that leaves takes its map with it", async () => {
    const page = await visit.open();
    const buffer = await film(page, "two");
    await page.setInputFiles("#video-file", { name: "two.webm", mimeType: "video/webm", buffer });
    const video = page.locator("#video");
    // Paused while both are there, in the first half. A busy machine may see neither when it is played once.
    await page.evaluate(
      () =>
        new Promise<void>((done) => {
          const [playing, boxes] = [document.querySelector("video")!, document.querySelector("#boxes")!];
          const looking = setInterval(() => {
            if (playing.ended) void playing.play();
            if (boxes.children.length < 2 || playing.currentTime > 1) return;
            playing.pause();
            clearInterval(looking);
            done();
          }, 20);
        }),
    );
    const [larger, smaller] = await page.locator("#boxes button").evaluateAll((all) => all.map((each) => (each as HTMLElement).dataset["face"]!));
    await page.click(`#boxes button[data-face="${larger}"]`);
    await page.click("#explain");
    await page.waitForSelector("#map:not([hidden])");
    await video.evaluate((each: HTMLVideoElement) => each.play());
    await expect.poll(() => page.locator("#boxes button").count(), { timeout: 20_000 }).toBe(1);
    expect(await page.locator("#boxes button").getAttribute("data-face")).toBe(smaller);
    expect(await page.isVisible("#map")).toBe(false);
    await page.context().close();
  });

  test("a file of no known type beside a video is no picture in its way", async () => {
    const page = await visit.open();
    const bytes = await film(page, "astronaut");
    await drop(page, [{ name: "LICENSE", type: "", bytes: Buffer.from("odd") }, { name: "clip.webm", type: "video/webm", bytes }]);
    await expect.poll(() => framesRead(page), { timeout: 20_000 }).toBeGreaterThan(0);
    expect(await page.textContent("#fault")).toMatch(/neither picture nor video: LICENSE\./);
    await page.context().close();
  });

  test("a video that breaks off says so, and keeps what was read", async () => {
    const page = await visit.open();
    const buffer = await film(page, "astronaut");
    await page.setInputFiles("#video-file", { name: "clip.webm", mimeType: "video/webm", buffer });
    await expect.poll(() => framesRead(page), { timeout: 20_000 }).toBeGreaterThan(2);
    await page.locator("#video").evaluate((video) => video.dispatchEvent(new Event("error")));
    await says(page, "#fault", /clip\.webm could not be played to its end/);
    expect((await saved(page)).length).toBeGreaterThan(1);
    expect(await page.isVisible("#video")).toBe(true);
    await page.context().close();
  });

  test("pictures are listed beside a camera, lead back from it, and it is let go of", async () => {
    const page = await visit.open();
    await dropAstronaut(page);
    expect(await page.isVisible("#pictures")).toBe(false);
    await page.click("#camera");
    await says(page, "#rate", /frames/);
    await page.click("#stop");
    await page.click("#pictures button");
    await says(page, "#status", /astronaut\.png: one face/);
    expect(await page.isVisible("#picture")).toBe(true);
    expect(await page.locator("#video").evaluate((video: HTMLVideoElement) => video.srcObject)).toBe(null);
    expect(await saved(page)).toHaveLength(1);
    await page.context().close();
  });

  test("a video of which a browser plays the sound alone is refused, and is not played on", async () => {
    const page = await visit.open();
    const buffer = await film(page, "nothing");
    await page.setInputFiles("#video-file", { name: "sound.webm", mimeType: "video/webm", buffer });
    await says(page, "#fault", /sound\.webm is not a video/);
    expect(await page.isVisible("#invitation")).toBe(true);
    expect(await page.textContent("#status")).toBe("");
    const video = page.locator("#video");
    expect(await video.evaluate((each: HTMLVideoElement) => each.paused && each.readyState)).toBe(0);
    // A picture that was there stays.
    await dropAstronaut(page);
    await page.setInputFiles("#video-file", { name: "sound.webm", mimeType: "video/webm", buffer });
    await says(page, "#fault", /sound\.webm is not a video/);
    expect(await page.isVisible("#picture")).toBe(true);
    expect(await page.textContent("#status")).toMatch(/^astronaut\.png: one face/);
    await page.context().close();
  });

  test("pictures that are to be read anew while the camera runs are read with the next one", async () => {
    const page = await visit.open();
    const photo = (name: string) => ({ name, type: "image/png", bytes: readFileSync(astronaut()) });
    await drop(page, [photo("one.png"), photo("two.png")]);
    await expect.poll(() => page.textContent("#pictures")).toMatch(/one\.pnghappy.*two\.pnghappy/);
    await page.click("#camera");
    await says(page, "#rate", /frames/);
    await page.check("#crops");
    await page.click("#stop");
    await drop(page, [photo("three.png")]);
    // Not "none is still read": beside a camera the list is empty, and that is said of an empty list too.
    await expect.poll(() => page.textContent("#pictures")).toMatch(/one\.png[^…]+two\.png[^…]+three\.png[^…]+$/);
    const answers = await saved(page);
    expect(answers.map(({ source }) => source)).toEqual(["one.png", "two.png", "three.png"]);
    expect(answers.filter((answer) => "box" in answer)).toEqual([]);
    await page.context().close();
  });

  test("a screen reader is told the first answer of each source", async () => {
    const page = await visit.open();
    await page.click("#camera");
    await says(page, "#told", /happy/);
    await page.click("#stop");
    await page.locator("#told").evaluate((told) => (told.textContent = "told before"));
    await page.click("#camera");
    await says(page, "#told", /happy/);
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

test("a camera that is denied after a video: the video, and what was read of it, stay", async () => {
  const visit = await Visit.begin({ camera: "denied" });
  const page = await visit.open();
  const buffer = await film(page, "astronaut");
  await page.setInputFiles("#video-file", { name: "clip.webm", mimeType: "video/webm", buffer });
  await expect.poll(() => framesRead(page), { timeout: 20_000 }).toBeGreaterThan(2);
  await page.click("#camera");
  await says(page, "#fault", /not allowed for this page/);
  expect(await page.isVisible("#video")).toBe(true);
  const answers = await saved(page);
  expect(answers.length).toBeGreaterThan(1);
  expect(new Set(answers.map(({ source }) => source))).toEqual(new Set(["clip.webm"]));
  const count = await framesRead(page);
  await page.locator("#video").evaluate((video: HTMLVideoElement) => video.play());
  await expect.poll(() => framesRead(page), { timeout: 20_000 }).toBeGreaterThan(count);
  await visit.end();
});

test("a camera that is denied while a picture is looked at: the picture is shown", async () => {
  const visit = await Visit.begin({ camera: "denied" });
  const page = await visit.open();
  await clickWhileLooking(page, "#camera");
  await dropAstronaut(page);
  await says(page, "#status", /astronaut\.png: one face/);
  expect(await page.textContent("#fault")).toMatch(/not allowed for this page/);
  expect(await page.isVisible("#picture")).toBe(true);
  await visit.end();
});

test("no page threw or complained", () => {
  expect(faults).toEqual([]);
});
