// The pages that the commands write: axe finds nothing on them, and a phone shows all of them. Oracle: axe, and the
// browser's own measures.
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { folder, launch, python, ROOT, violations } from "./browser";

const PAGES = ["report/report.html", "comparison/report.html", "audit/audit.html", "study/report.html", "video.html"];
const out = path.join(folder, "pages");

let browser: Browser;
beforeAll(async () => {
  browser = await launch("absent");
  python("make_report.py", path.join(out, "report"));
  python("make_pages.py", out);
}, 600_000);
afterAll(() => browser?.close());

test.each(PAGES)("axe finds nothing on %s, in light and dark, and it is as wide as its screen", async (name) => {
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
    await context.close();
  }
}, 120_000);

test("a click on a header sorts times by their seconds", async () => {
  const page = await browser.newPage();
  const times = ["1:05", "45.0 s", "1:02:05", "7.2 s"];
  const rows = times.map((time) => `<tr><td>face</td><td>${time}</td></tr>`).join("");
  await page.setContent(`<table class="data" data-shown="9"><thead><tr><th>a</th><th>from</th></tr></thead><tbody>${rows}</tbody></table>`);
  await page.addScriptTag({ path: path.join(ROOT, "src/mien/page/templates/page.js") });
  await page.click("th:nth-child(2) button");
  expect(await page.locator("td:nth-child(2)").allTextContents()).toEqual(["1:02:05", "1:05", "45.0 s", "7.2 s"]);
  await page.close();
});
