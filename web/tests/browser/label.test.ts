// The page of `mien label` in a browser. Oracle: what a person sees and what is sent; Python's side is tested there.
import path from "node:path";

import type { Page } from "playwright-core";
import { expect } from "vitest";

import { pageTest, ROOT, Visit } from "./browser";

const test = pageTest({ isolated: false, folders: [path.join(ROOT, "src/mien/serve/label_page")] });

const FACES = ["a.png", "b.png"];
const ANSWERS = ["neutral", "happy", "sad"];

/** The page, with a service that counts votes as mien label does. */
async function open({ browser, address }: Visit): Promise<{ page: Page; sent: unknown[] }> {
  const page = await browser.newPage();
  const sent: unknown[] = [];
  let votes = 0;
  const state = () => ({
    person: "ada", votes, left: FACES.length - votes, image: FACES[votes] ?? null, number: votes, answers: ANSWERS,
  });
  await page.route(/\/(next|vote|undo)$/, (route) => {
    const asked = new URL(route.request().url()).pathname.slice(1);
    if (asked !== "next") sent.push([asked, route.request().postDataJSON()]);
    votes += asked === "vote" ? 1 : asked === "undo" ? -1 : 0;
    return route.fulfill({ json: state() });
  });
  const body = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";
  await page.route(/\/image\//, async (route) => {
    // A photograph that is converted first takes its time.
    await new Promise((done) => setTimeout(done, 200));
    await route.fulfill({ contentType: "image/svg+xml", body });
  });
  await page.goto(address);
  await page.locator("#answers button").first().waitFor();
  return { page, sent };
}

test("votes go by key and by click, and back; after the last face only the way back is left", async ({ visit }) => {
  const { page, sent } = await open(visit);
  const isShown = () => expect.poll(() => page.locator("#face").evaluate((face: HTMLImageElement) => face.complete)).toBe(true);
  await isShown();
  await page.keyboard.press("2");
  await expect.poll(() => page.locator("#progress").textContent()).toBe("ada: votes 1, faces left 1");
  // The second face is not there yet: a vote would be for the first.
  await page.keyboard.press("2");
  await isShown();
  await page.locator("#answers button", { hasText: "sad" }).click();
  await expect.poll(() => page.locator("#answers").isVisible()).toBe(false);
  expect(await page.locator("#face").isVisible()).toBe(false);
  await page.keyboard.press("1");
  await page.keyboard.press("Backspace");
  await expect.poll(() => page.locator("#answers").isVisible()).toBe(true);
  expect(sent).toEqual([
    ["vote", { image: "a.png", answer: "happy", votes: 0 }],
    ["vote", { image: "b.png", answer: "sad", votes: 1 }],
    ["undo", { votes: 2 }],
  ]);
});

test("no vote goes to a face that cannot be shown, nor to several by a held key", async ({ visit }) => {
  const { page, sent } = await open(visit);
  const problem = () => page.textContent("#problem");
  await expect.poll(() => page.locator("#face").evaluate((face: HTMLImageElement) => face.complete)).toBe(true);
  await page.route(/\/image\//, (route) => route.fulfill({ status: 404 }));
  await page.locator("#answers button", { hasText: "happy" }).focus();
  for (let repeat = 0; repeat < 3; repeat += 1) await page.keyboard.down("Enter");
  await page.keyboard.up("Enter");
  await expect.poll(problem).toContain("b.png");
  await page.keyboard.press("2");
  expect(sent).toEqual([["vote", { image: "a.png", answer: "happy", votes: 0 }]]);
  await page.route(/\/undo$/, (route) => route.abort());
  await page.keyboard.press("Backspace");
  await expect.poll(problem).toContain("not saved");
});
