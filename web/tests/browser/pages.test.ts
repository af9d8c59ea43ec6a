// The pages that the commands write, opened as files: axe finds nothing on them, and a phone shows all of them. What a
// reader can do with a report, with scripts and without. Oracle: axe, and the browser's own measures.
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import type { BrowserContextOptions, Page } from "playwright-core";
import { beforeAll, expect } from "vitest";

import { folder, pageTest, python, ROOT, violations, Visit } from "./browser";

const PAGES = ["report/report.html", "comparison/report.html", "audit/audit.html", "study/report.html", "video.html"];
const out = path.join(folder, "pages");
const address = pathToFileURL(path.join(out, PAGES[0]!)).href;

const test = pageTest();
beforeAll(() => {
  python("make_report.py", path.join(out, "report"));
  python("make_pages.py", out);
}, 600_000);

test.for(PAGES)("axe finds nothing on %s, in light and dark, and it is as wide as its screen", { timeout: 120_000 }, async (name, { visit: { browser } }) => {
  const file = path.join(out, name);
  expect(existsSync(file)).toBe(true);
  for (const [width, colorScheme] of [[1280, "light"], [390, "dark"]] as const) {
    const context = await browser.newContext({ viewport: { width, height: 844 }, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(pathToFileURL(file).href);
    await page.evaluate(() => {
      // What a click shows is looked at too.
      document.querySelector(".scroll svg a")?.dispatchEvent(new Event("click"));
      document.querySelectorAll("details").forEach((each) => (each.open = true));
    });
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  }
});

test("a click on a header sorts times by their seconds", async ({ visit: { browser } }) => {
  const page = await browser.newPage();
  const times = ["1:05", "45.0 s", "1:02:05", "7.2 s"];
  const rows = times.map((time) => `<tr><td>face</td><td>${time}</td></tr>`).join("");
  await page.setContent(`<table class="data" data-shown="9"><thead><tr><th>a</th><th>from</th></tr></thead><tbody>${rows}</tbody></table>`);
  await page.addScriptTag({ path: path.join(ROOT, "src/mien/page/templates/page.js") });
  await page.click("th:nth-child(2) button");
  expect(await page.locator("td:nth-child(2)").allTextContents()).toEqual(["1:02:05", "1:05", "45.0 s", "7.2 s"]);
});

/** The page, what it asked for beside itself, and its errors. */
async function open({ browser }: Visit, options: BrowserContextOptions = {}): Promise<{ page: Page; requests: string[]; errors: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const [requests, errors]: [string[], string[]] = [[], []];
  page.on("request", (request) => request.url().startsWith("data:") || requests.push(request.url()));
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(address);
  return { page, requests, errors };
}

test("a click on a cell shows its faces", async ({ visit }) => {
  const { page, errors } = await open(visit);
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

test("a table is sorted by its numbers, averages last, filtered, and opened", async ({ visit }) => {
  const { page } = await open(visit);
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

test("a curve has its numbers under the pointer", async ({ visit }) => {
  const { page, errors } = await open(visit);
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

test("nothing leaves the file", async ({ visit }) => {
  const { requests } = await open(visit);
  expect(requests).toEqual([address]);
});

test("without scripts the figures are there, and a cell still leads to its faces", async ({ visit }) => {
  const { page, requests } = await open(visit, { javaScriptEnabled: false });
  const figures = page.locator("figure svg");
  expect(await figures.count()).toBe(6);
  for (const figure of await figures.all()) expect((await figure.boundingBox())!.height).toBeGreaterThan(100);
  await page.locator("svg a").first().click();
  expect(await page.locator(".cell:visible img").count()).toBeGreaterThan(0);
  expect(requests.every((each) => each.split("#")[0] === address)).toBe(true);
});

test("paper shows the charts, and nothing to click", async ({ visit }) => {
  const { page } = await open(visit);
  await page.emulateMedia({ media: "print" });
  expect(await page.locator("nav:visible, .filter:visible, .more:visible, .cells:visible, .tip:visible").count()).toBe(0);
  expect(await page.locator('figure[data-chart="roc-classes"] svg').isVisible()).toBe(true);
});
