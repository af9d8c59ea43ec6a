// Throughput of the page on a camera of 640 x 480 pixels with one face: MIEN_SECONDS=20 npx vitest run speed
import { afterAll, beforeAll, test } from "vitest";

import { waitForText, Visit } from "./browser";

const SECONDS = Number(process.env["MIEN_SECONDS"] ?? 0);

let visit: Visit;
beforeAll(async () => {
  if (SECONDS) visit = await Visit.begin({ camera: "astronaut" });
});
afterAll(() => visit?.end());

test.runIf(SECONDS).each([2, 4])(
  "a machine that reports %d cores, of which the page uses half",
  async (cores) => {
    const page = await visit.open({}, (fresh) =>
      fresh.addInitScript((count) => {
        Object.defineProperty(navigator, "hardwareConcurrency", { get: () => count });
      }, cores),
    );
    await page.click("#use-camera");
    await waitForText(page, "#throughput", /\d/);
    // In the first seconds the browser still optimises the wasm code.
    await page.waitForTimeout(1000 * SECONDS);
    console.log(`${cores / 2} thread(s): ${await page.textContent("#throughput")}`);
    await page.context().close();
  },
  1000 * SECONDS + 30_000,
);
