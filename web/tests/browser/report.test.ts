// The pages of `mien report` in a browser, opened as files: what a reader can do, with scripts and without.
import path from "node:path";
import { pathToFileURL } from "node:url";

import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { folder, launch, python } from "./browser";

let browser: Browser;
let address: string;
beforeAll(async () => {
  browser = await launch("absent");
  const out = path.join(folder, "report");
  python("make_report.py", out);
  address = pathToFileURL(path.join(out, "report.html")).href;
}, 180_000);
afterAll(() => browser?.close());

/** The page, what it asked for beside itself, and its errors. */
async function open(options: BrowserContextOptions = {}): Promise<{ page: Page; requests: string[]; errors: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const [requests, errors]: [string[], string[]] = [[], []];
  page.on("request", (request) => request.url().startsWith("data:") || requests.push(request.url()));
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(address);
  return { page, requests, errors };
}

test("a click on a cell shows its faces", async () => {
  const { page, errors } = await open();
  expect(await page.locator(".cell:visible").count()).toBe(0);
  const counts = JSON.parse(await page.evaluate(() => JSON.stringify(document.querySelectorAll("svg a").length))) as number;
  expect(counts).toBe(await page.locator(".cell").count());
  await page.locator('svg a[aria-label^="sad, correct"]').click();
  expect(await page.locator(".cell:visible h3").textContent()).toMatch(/^sad, correct: \d+ samples?/);
  expect(await page.locator(".cell:visible img").count()).toBeGreaterThan(0);
  await page.locator('svg a[aria-label*="predicted"]').first().click();
  expect(await page.locator(".cell:visible h3").textContent()).toMatch(/, predicted /);
  expect(errors).toEqual([]);
});

test("a table is sorted by its numbers, averages last, filtered, and opened", async () => {
  const { page } = await open();
  const table = page.locator('[aria-label="classification-report"]');
  const column = () => table.locator("tbody tr td:nth-child(3)").evaluateAll((cells) => cells.map((each) => Number(each.textContent)));
  const before = await column();
  const [classes, averages] = [before.slice(0, -2), before.slice(-2)];
  const [macro, weighted] = await table.locator("tbody tr").evaluateAll((rows) => rows.slice(-2).map((row) => row.textContent!.trim()));
  expect([macro, weighted]).toEqual([expect.stringMatching(/^macro average/), expect.stringMatching(/^weighted average/)]);
  await table.getByRole("button", { name: "recall" }).click();
  const lastTwo = async () => (await column()).slice(-2).sort();
  expect((await column()).slice(0, -2)).toEqual([...classes].sort((a, b) => b - a));
  expect(await lastTwo()).toEqual([...averages].sort());
  expect(await table.locator("th[aria-sort]").getAttribute("aria-sort")).toBe("descending");
  await table.getByRole("button", { name: "recall" }).click();
  expect((await column()).slice(0, -2)).toEqual([...classes].sort((a, b) => a - b));
  expect(await lastTwo()).toEqual([...averages].sort());
  const pairs = page.locator('[aria-label="confused-pairs"]');
  const shown = () => pairs.locator("tbody tr:visible").count();
  const all = await pairs.locator("tbody tr").count();
  expect(await shown()).toBe(12);
  await page.locator(".filter input").first().fill("happy");
  for (const words of await pairs.locator("tbody tr:visible").allTextContents()) expect(words).toContain("happy");
  await page.locator(".filter input").first().fill("");
  await page.locator("button.more:visible").first().click();
  expect(await shown()).toBe(all);
  expect(all).toBeGreaterThan(12);
});

test("a curve has its numbers under the pointer", async () => {
  const { page, errors } = await open();
  const svg = page.locator('figure[data-chart="coverage"] svg');
  await svg.scrollIntoViewIfNeeded();
  const box = (await svg.boundingBox())!;
  const tip = page.locator(".tip:visible");
  // Up to the curve, which is somewhere above.
  for (let height = 0.8; height > 0 && !(await tip.count()); height -= 0.05) await page.mouse.move(box.x + 0.3 * box.width, box.y + height * box.height);
  expect(await tip.textContent()).toMatch(/^accuracy: coverage: .* \d+(\.\d+)?, accuracy, % \d+(\.\d+)?$/);
  await page.mouse.move(box.x - 20, box.y);
  expect(await tip.count()).toBe(0);
  expect(errors).toEqual([]);
});

test("nothing leaves the file", async () => {
  const { requests } = await open();
  expect(requests).toEqual([address]);
});

test("without scripts the figures are there, and a cell still leads to its faces", async () => {
  const { page, requests } = await open({ javaScriptEnabled: false });
  const figures = page.locator("figure svg");
  expect(await figures.count()).toBe(6);
  for (const figure of await figures.all()) expect((await figure.boundingBox())!.height).toBeGreaterThan(100);
  await page.locator("svg a").first().click();
  expect(await page.locator(".cell:visible img").count()).toBeGreaterThan(0);
  expect(requests.every((each) => each.split("#")[0] === address)).toBe(true);
});

test("paper shows the charts, and nothing to click", async () => {
  const { page } = await open();
  await page.emulateMedia({ media: "print" });
  expect(await page.locator("nav:visible, .filter:visible, .more:visible, .cells:visible, .tip:visible").count()).toBe(0);
  expect(await page.locator('figure[data-chart="roc-classes"] svg').isVisible()).toBe(true);
});
