// Oracle: Python's own answers (vectors.json, read_box.py), on the same files.
import { readFileSync } from "node:fs";
import path from "node:path";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { MARGIN } from "../../src/faces/crop";
import type { Reading } from "../../src/readings/reading";
import { vectors } from "../vectors";
import { astronaut, clickWhileLooking, drop, dropAstronaut, faults, folder, python, saved, says, Visit } from "./browser";

/**
 * A canvas keeps half-transparent colours, and what was 16 bits of grey, within one level. In square.png an activation
 * lies on the edge between two 8-bit steps: inputs a millionth apart fall on either side, in Python too.
 */
const LOOSE: Record<string, number> = { "veiled.png": 1e-2, "deep-grey.png": 5e-2, "square.png": 1e-2 };

/** 70,000 x 4 black pixels as PNG. */
const WIDE =
  "iVBORw0KGgoAAAANSUhEUgABEXAAAAAECAAAAACH5bMkAAABJklEQVR42u3BMQEAAADCoPVPbQlPoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB4GUYAAAGFECxeAAAAAElFTkSuQmCC";

let visit: Visit;
beforeAll(async () => {
  visit = await Visit.begin();
});
afterAll(() => visit.end());

function pictureFile({ name, file }: { name: string; file: string }) {
  const type = { jpg: "image/jpeg", png: "image/png", webp: "image/webp" }[name.split(".").at(-1)!]!;
  return { name, type, bytes: Buffer.from(file, "base64") };
}

async function allRead(page: Page, count: number): Promise<Reading[]> {
  const waiting = async () => (await page.textContent("#pictures"))?.includes("…");
  await expect.poll(waiting, { timeout: 20_000 }).toBe(false);
  const readings = (await saved(page)) as unknown as Reading[];
  expect(readings).toHaveLength(count);
  return readings;
}

describe("pictures that are faces already", () => {
  let page: Page;
  beforeAll(async () => {
    page = await visit.open();
    await page.check("#crops");
  });
  afterAll(() => page.context().close());

  test("are read as Python reads them", async () => {
    await drop(page, vectors.pictures.map(pictureFile));
    const readings = await allRead(page, vectors.pictures.length);
    for (const { name, probabilities } of vectors.pictures) {
      const reading = readings.find(({ source }) => source === name)!;
      const most = LOOSE[name] ?? 1e-4;
      const shares = vectors.classes.map((each) => reading.probabilities[each]!);
      const differences = shares.map((share, index) => Math.abs(share - probabilities[index]!));
      expect(Math.max(...differences), name).toBeLessThan(most);
    }
  });

  test("stand in a row, and each can be shown", async () => {
    const buttons = page.locator("#pictures button");
    expect(await buttons.first().getAttribute("aria-pressed")).toBe("true");
    await buttons.nth(2).click();
    await says(page, "#status", /square\.png: one face/);
    expect(await buttons.nth(2).getAttribute("aria-pressed")).toBe("true");
    expect(await buttons.first().getAttribute("aria-pressed")).toBe("false");
  });

  test("what is no picture is refused in words, and the page goes on", async () => {
    const whole = vectors.pictures.find(({ name }) => name === "square.png")!;
    const cutOff = { ...pictureFile(whole), name: "cut-off.png" };
    cutOff.bytes = cutOff.bytes.subarray(0, 60);
    await drop(page, [{ name: "notes.txt", type: "text/plain", bytes: Buffer.from("no picture") }]);
    await says(page, "#fault", /That was no picture/);
    await drop(page, [cutOff, { name: "odd.png", type: "image/png", bytes: Buffer.from("odd") }, pictureFile(whole)]);
    await says(page, "#status", /square\.png: one face/);
    expect(await page.textContent("#fault")).toMatch(/cut-off\.png is not a picture.*odd\.png is not a picture/);
    expect(await page.textContent("#fault")).not.toContain("That was no picture");
    await drop(page, [pictureFile(whole)]);
    await expect.poll(() => page.textContent("#fault")).toBe("");
  });
});

test("a dropped photo: the face is found, and read as Python reads the same box", async () => {
  const page = await visit.open();
  await dropAstronaut(page);
  await says(page, "#status", /astronaut\.png: one face\. happy/);
  const [reading] = (await saved(page)) as unknown as [Reading];
  expect(Object.keys(reading)).toEqual(["source", "box", "top", "confidence", "probabilities"]);
  expect(reading.source).toBe("astronaut.png");
  const { left, top, width, height } = reading.box!;
  // The eyes and the mouth of the astronaut lie within.
  expect(left).toBeLessThan(190);
  expect(left + width).toBeGreaterThan(255);
  expect(top).toBeLessThan(100);
  expect(top + height).toBeGreaterThan(160);
  const shares = JSON.parse(
    python("read_box.py", astronaut(), left, top, width, height, MARGIN.size, MARGIN.down),
  ) as number[];
  vectors.classes.forEach((name, index) =>
    expect(Math.abs(reading.probabilities[name]! - shares[index]!), name).toBeLessThan(1e-4),
  );
  const [button] = await page.locator("#boxes button").all();
  const percent = Math.round(100 * shares[vectors.classes.indexOf("happy")]!);
  expect(await button!.getAttribute("aria-label")).toBe(`Face 1: happy, ${percent}%`);
  await page.context().close();
});

test("a picture for which the browser has no canvas is refused, and not read as nothing", async () => {
  const page = await visit.open();
  await page.check("#crops");
  // Chromium draws on none of more than 65,535 px a side, and says nothing.
  await drop(page, [{ name: "wide.png", type: "", bytes: Buffer.from(WIDE, "base64") }]);
  await says(page, "#fault", /wide\.png is too large for this browser/);
  await page.context().close();
});

test("a picture of a type that the system does not know is read", async () => {
  const page = await visit.open();
  await drop(page, [{ name: "astronaut", type: "", bytes: readFileSync(astronaut()) }]);
  await says(page, "#status", /astronaut: one face/);
  await drop(page, [{ name: "odd", type: "", bytes: Buffer.from("odd") }]);
  await says(page, "#fault", /odd is not a picture/);
  await page.context().close();
});

test("what is said already is not written again", async () => {
  const page = await visit.open();
  await drop(page, [{ name: "notes.txt", type: "text/plain", bytes: Buffer.from("no picture") }]);
  await says(page, "#fault", /That was no picture/);
  const written = await page.evaluate(async () => {
    let count = 0;
    const observer = new MutationObserver((changes) => (count += changes.length));
    observer.observe(document.querySelector("#fault")!, { childList: true, characterData: true, subtree: true });
    const least = document.querySelector<HTMLInputElement>("#least")!;
    for (const value of ["10", "20", "30"]) {
      least.value = value;
      least.dispatchEvent(new Event("input"));
    }
    await new Promise((done) => setTimeout(done, 50));
    return count;
  });
  expect(written).toBe(0);
  await page.context().close();
});

test("what is dropped beside a picture and left out is named; the picture has a text alternative", async () => {
  const page = await visit.open();
  const photo = { name: "astronaut.png", type: "image/png", bytes: readFileSync(astronaut()) };
  const odd = (name: string, type: string) => ({ name, type, bytes: Buffer.from("odd") });
  await drop(page, [odd("a.pdf", "application/pdf"), photo, odd("b.txt", "text/plain"), odd("c.mp4", "video/mp4")]);
  await says(page, "#status", /astronaut\.png: one face/);
  expect(await page.textContent("#fault")).toMatch(/none beside pictures: c\.mp4\. .*neither picture nor video: a\.pdf and b\.txt\./);
  expect(await page.locator("#screen").ariaSnapshot()).toContain('img "The picture astronaut.png"');
  await page.click('[data-language="de"]');
  expect(await page.textContent("#fault")).toContain("a.pdf und b.txt");
  expect(await page.locator("#screen").ariaSnapshot()).toContain('img "Das Bild astronaut.png"');
  await drop(page, [odd("c.mp4", "video/mp4"), odd("d.mp4", "video/mp4")]);
  await says(page, "#fault", /d\.mp4.*c\.mp4 ist kein Video/);
  await page.context().close();
});

test("a picture that cannot be read is refused once, however often it is asked for, and alone", async () => {
  const page = await visit.open();
  const photo = { name: "one.png", type: "image/png", bytes: readFileSync(astronaut()) };
  const odd = { name: "odd.png", type: "image/png", bytes: Buffer.from("odd") };
  // Twice in a row, before the first answer.
  await page.evaluate(() => {
    const list = document.querySelector("#pictures")!;
    new MutationObserver((_, observer) => {
      const button = list.querySelectorAll("button")[2];
      if (!button) return;
      observer.disconnect();
      button.click();
      button.click();
    }).observe(list, { childList: true, subtree: true });
  });
  await drop(page, [photo, { ...photo, name: "two.png" }, odd]);
  await expect.poll(() => page.textContent("#pictures")).toMatch(/^one\.pnghappy.*two\.pnghappy \d+%$/);
  expect((await page.textContent("#fault"))!.match(/odd\.png/g)).toHaveLength(1);
  await page.context().close();
});

test("a picture is read as the switch says, also where it is turned meanwhile", async () => {
  const page = await visit.open();
  await clickWhileLooking(page, "#crops");
  await dropAstronaut(page);
  await page.waitForTimeout(1000);
  expect(await page.isChecked("#crops")).toBe(true);
  const answers = await saved(page);
  expect(answers).toHaveLength(1);
  expect(answers[0]).not.toHaveProperty("box");
  await page.context().close();
});

describe("settings", () => {
  let page: Page;
  beforeAll(async () => {
    page = await visit.open();
    await dropAstronaut(page);
  });
  afterAll(() => page.context().close());

  test("five and two classes", async () => {
    await page.check('#schemes input[value="five"]', { force: true });
    expect(await page.locator("#bars li").count()).toBe(5);
    await page.check('#schemes input[value="binary"]', { force: true });
    expect(await page.locator("#bars li span:first-child").allTextContents()).toEqual(["negative", "positive"]);
    const [reading] = (await saved(page)) as unknown as [Reading];
    expect(reading.top).toBe("positive");
    expect(Object.values(reading.probabilities).reduce((sum, share) => sum + share)).toBeCloseTo(1, 12);
    await page.check('#schemes input[value="all"]', { force: true });
  });

  test("below the chosen confidence it is unsure, and the file still says everything", async () => {
    await page.fill("#least", "95");
    expect(await page.textContent("#answer strong")).toBe("unsure");
    expect(await page.textContent("#boxes button span")).toBe("unsure");
    expect((await saved(page))[0]!["top"]).toBe("happy");
    await page.fill("#least", "40");
    expect(await page.textContent("#answer strong")).toBe("happy");
  });

  test("mirrored, the box is where the face is seen; the file has the picture's own pixels", async () => {
    const boxOf = async () => (await page.locator("#boxes button").boundingBox())!;
    const frame = (await page.locator("#picture").boundingBox())!;
    const before = await boxOf();
    const [{ box }] = (await saved(page)) as unknown as [Reading];
    await page.check("#mirror");
    const after = await boxOf();
    expect(after.x - frame.x).toBeCloseTo(frame.x + frame.width - before.x - before.width, 0);
    expect(((await saved(page)) as unknown as [Reading])[0].box).toEqual(box);
    await page.uncheck("#mirror");
  });

  test("what mattered is mapped for the chosen face", async () => {
    await page.click("#explain");
    await page.waitForSelector("#map:not([hidden])");
    expect(await page.getAttribute("#map-canvas", "aria-label")).toContain("happy");
    const coloured = await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>("#map-canvas")!;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return [...data].filter((_, at) => at % 4 === 0 && data[at] !== data[at + 2]).length;
    });
    expect(coloured).toBeGreaterThan(100);
    expect(coloured).toBeLessThan(48 * 48);
  });

  test("a map that is asked for of one reading is not shown beside another", async () => {
    await page.click("#explain");
    await page.check('#schemes input[value="binary"]', { force: true });
    await says(page, "#status", /one face/);
    expect(await page.isVisible("#map")).toBe(false);
    await page.check('#schemes input[value="all"]', { force: true });
  });

  test("the answers can be copied", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("#copy");
    await says(page, "#status", /Copied/);
    const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText())) as unknown;
    expect(copied).toEqual(await saved(page));
  });

  test("a pasted picture is read", async () => {
    await page.evaluate((text) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
    }, readFileSync(astronaut()).toString("base64"));
    await says(page, "#status", /image\.png: one face\. happy/);
  });

  test("a face that fills its picture is found at the second look", async () => {
    const file = path.join(folder, "close-up.png");
    python("make_astronaut.py", file, 165, 72, 275, 187);
    await drop(page, [{ name: "close-up.png", type: "image/png", bytes: readFileSync(file) }]);
    await says(page, "#status", /close-up\.png: one face\./);
    const reading = ((await saved(page)) as unknown as Reading[]).find(({ source }) => source === "close-up.png")!;
    expect(reading.box!.width).toBeGreaterThan(70);
  });

  test("a dozen small faces are found at another look, and each can be chosen", async () => {
    const file = path.join(folder, "crowd.png");
    python("make_astronaut.py", file, "crowd");
    await drop(page, [{ name: "crowd.png", type: "image/png", bytes: readFileSync(file) }]);
    await says(page, "#status", /crowd\.png: 12 faces\. Face 1: /);
    const fifth = page.locator("#boxes button").nth(4);
    await fifth.click();
    expect(await fifth.getAttribute("aria-pressed")).toBe("true");
    expect(await page.textContent("#reading-title")).toBe("Reading of face 5");
    const cutOff = await page.evaluate(() => {
      const frame = document.querySelector("#screen")!.getBoundingClientRect();
      const captions = [...document.querySelectorAll("#boxes span")].map((each) => each.getBoundingClientRect());
      return captions.filter(({ left, right, top }) => left < frame.left || right > frame.right || top < frame.top);
    });
    expect(cutOff).toEqual([]);
  });

  test("the focus of a face that goes is the next one's, or waits where faces are shown", async () => {
    const focused = () =>
      page.evaluate(() => [document.activeElement!.id, (document.activeElement as HTMLElement).dataset["face"]]);
    await page.focus('#boxes button[data-face="5"]');
    await dropAstronaut(page);
    await says(page, "#status", /astronaut\.png: one face/);
    expect(await focused()).toEqual(["", "1"]);
    await drop(page, [{ name: "plain.png", type: "image/png", bytes: await plainPicture(page) }]);
    await says(page, "#status", /No face found in plain\.png/);
    expect(await focused()).toEqual(["boxes", undefined]);
    await dropAstronaut(page);
    await says(page, "#status", /astronaut\.png: one face/);
    expect(await focused()).toEqual(["", "1"]);
  });

  test("a picture without a face can be read as a whole", async () => {
    await drop(page, [{ name: "plain.png", type: "image/png", bytes: await plainPicture(page) }]);
    await says(page, "#status", /No face found in plain\.png/);
    expect(await page.textContent("#answer")).toBe("Nothing read yet.");
    await page.focus("#read-whole");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#answer strong");
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("explain");
    const reading = ((await saved(page)) as unknown as Reading[]).find(({ source }) => source === "plain.png")!;
    expect(reading).not.toHaveProperty("box");
    expect(await page.isVisible("#read-whole")).toBe(false);
  });
});

/** A sky, as a PNG file. */
async function plainPicture(page: Page, width = 300, height = 200): Promise<Buffer> {
  const address = await page.evaluate(
    ([width, height]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d")!;
      const sky = context.createLinearGradient(0, 0, 0, height);
      sky.addColorStop(0, "#4a7fb0");
      sky.addColorStop(1, "#e8eef2");
      context.fillStyle = sky;
      context.fillRect(0, 0, width, height);
      return canvas.toDataURL("image/png");
    },
    [width, height] as const,
  );
  return Buffer.from(address.slice(address.indexOf(",") + 1), "base64");
}

test.each([390, 1280])("pictures keep their proportions on a screen of %i pixels, and small ones are enlarged", async (screen) => {
  const page = await visit.open({ viewport: { width: screen, height: 800 } });
  const longer = Math.min(256, 0.6 * screen);
  for (const [width, height] of [[1600, 900], [800, 160], [160, 800], [100, 20], [20, 100], [48, 48]] as const) {
    const name = `${width}x${height}.png`;
    await drop(page, [{ name, type: "image/png", bytes: await plainPicture(page, width, height) }]);
    await says(page, "#status", new RegExp(`No face found in ${name}`));
    const shown = (await page.locator("#picture").boundingBox())!;
    expect(Math.abs(shown.width - (shown.height * width) / height), name).toBeLessThan(1);
    expect(shown.width, name).toBeLessThan(screen);
    if (Math.max(width, height) < 256) expect(Math.max(shown.width, shown.height), name).toBeCloseTo(longer, 0);
  }
  await page.context().close();
});

test("no page threw or complained", () => {
  expect(faults).toEqual([]);
});
