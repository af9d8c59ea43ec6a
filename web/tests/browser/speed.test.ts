// How fast the page reads a camera of 640 x 480 with one face: MIEN_SECONDS=20 npx vitest run speed
import { afterAll, beforeAll, test } from "vitest";

import { says, Visit } from "./browser";

const SECONDS = Number(process.env["MIEN_SECONDS"] ?? 0);

let visit: Visit;
beforeAll(async () => {
  if (SECONDS) visit = await Visit.begin({ camera: "astronaut" });
});
afterAll(() => visit?.end());

test.runIf(SECONDS).each([2, 4])(
  "a machine that says it has %d cores, half of which are used",
  async (cores) => {
    const page = await visit.open({}, (fresh) =>
      fresh.addInitScript((count) => {
        Object.defineProperty(navigator, "hardwareConcurrency", { get: () => count });
      }, cores),
    );
    await page.click("#camera");
    await says(page, "#rate", /\d/);
    // The browser compiles the network anew, for speed, while the first seconds run.
    await page.waitForTimeout(1000 * SECONDS);
    console.log(`${cores / 2} thread(s): ${await page.textContent("#rate")}`);
    await page.context().close();
  },
  1000 * SECONDS + 30_000,
);
