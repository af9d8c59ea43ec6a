/** A real Chromium on the built page, and the actions that tests share. */

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { preview, type PreviewServer } from "vite";
import { expect, test } from "vitest";

import type { Box } from "../../src/faces/box";
import { type Key, type Language, setLanguage, translate } from "../../src/locales/translate";
import type { Prediction } from "../../src/predictions/prediction";

export const ROOT = path.join(import.meta.dirname, "../../..");
export const BUILT = path.join(ROOT, "src/mien/serve/static");

const PYTHON = process.env["MIEN_PYTHON"] ?? path.join(ROOT, ".venv/bin/python");
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

const FAKE_CAMERA = "--use-fake-device-for-media-stream";
const ALLOWED = "--use-fake-ui-for-media-stream";

/** The camera that the browser has. */
export type Camera = "astronaut" | "eight" | "denied" | "absent";

/** Headers that `mien serve` sends, so that the page may use threads. */
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export const folder = mkdtempSync(path.join(tmpdir(), "mien-web-"));

/** Run one of the Python files beside these tests. */
export function python(script: string, ...given: (string | number)[]): string {
  const file = path.join(import.meta.dirname, "..", script);
  const env = { PYTHONPATH: path.join(ROOT, "src"), ...process.env, OMP_NUM_THREADS: "1" };
  return execFileSync(PYTHON, [file, ...given.map(String)], { encoding: "utf8", env });
}

/** A photo of a real face: scikit-image's astronaut, 512 x 512 pixels. */
export function astronaut(): string {
  const file = path.join(folder, "astronaut.png");
  if (!existsSync(file)) python("make_astronaut.py", file);
  return file;
}

/** Python's probabilities for a box of the astronaut, or for the face found there, by output, then by class. */
export function predictBox(box?: Box): Record<string, Record<string, number>> {
  return JSON.parse(python("predict_box.py", astronaut(), ...(box ? [box.left, box.top, box.width, box.height] : [])));
}

/** A prediction has Python's probabilities of its output. */
export function expectClose({ output, probabilities }: Prediction, expected: Record<string, Record<string, number>>, within = 1e-4): void {
  expect(Object.keys(probabilities)).toEqual(Object.keys(expected[output!]!));
  for (const [name, value] of Object.entries(expected[output!]!)) {
    expect(Math.abs(probabilities[name]! - value), `${output} ${name}`).toBeLessThan(within);
  }
}

/** A folder with a tiny model of two outputs, which make_votes_model.py wrote. */
export const VOTES = path.join(import.meta.dirname, "../votes");

/** Face crops, of which the last is noise, which "people" called not a face. */
export const votesImages = JSON.parse(readFileSync(path.join(VOTES, "expected.json"), "utf8")) as { name: string; file: string }[];

export async function launch(camera: Camera): Promise<Browser> {
  const flags = { astronaut: [FAKE_CAMERA, ALLOWED], eight: [FAKE_CAMERA, ALLOWED], denied: [FAKE_CAMERA], absent: [ALLOWED] };
  const args = ["--no-sandbox", "--disable-gpu", ...flags[camera]];
  if (camera === "astronaut" || camera === "eight") {
    const video = path.join(folder, `${camera}.y4m`);
    if (!existsSync(video)) python("make_camera.py", video, ...(camera === "eight" ? [camera] : []));
    args.push(`--use-file-for-fake-video-capture=${video}`);
  }
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args });
}

/** Serve the files of some folders on a free port; the first folder that has a file wins. */
async function serve(folders: string[], isolated: boolean): Promise<{ server: PreviewServer; address: string }> {
  const outDir = mkdtempSync(path.join(folder, "site-"));
  for (const from of folders.toReversed()) cpSync(from, outDir, { recursive: true });
  const headers = isolated ? ISOLATION : {};
  const server = await preview({ configFile: false, appType: "mpa", build: { outDir }, preview: { host: "127.0.0.1", port: 0, headers, cors: false } });
  return { server, address: server.resolvedUrls!.local[0]! };
}

/** A browser and the page's address. */
export class Visit {
  private constructor(
    readonly browser: Browser,
    readonly address: string,
    private readonly server: PreviewServer,
  ) {}

  static async begin({ camera = "absent" as Camera, isolated = true, folders = [BUILT] } = {}): Promise<Visit> {
    if (!existsSync(path.join(BUILT, "model.json"))) throw new Error("The page is not built: make web");
    const [{ server, address }, browser] = await Promise.all([serve(folders, isolated), launch(camera)]);
    return new Visit(browser, address, server);
  }

  /** Open the page, wait until its networks are loaded, and unfold what is folded. */
  async open(...given: Parameters<Visit["enter"]>): Promise<Page> {
    const page = await this.enter(...given);
    await page.waitForSelector("html[data-ready]");
    await page.evaluate(() => {
      document.querySelector<HTMLDetailsElement>("#advanced")!.open = true;
      document.querySelector<HTMLButtonElement>("#more-bars")!.click();
    });
    return page;
  }

  /** Open the page without waiting. Each exception and each error in the console is a failure. */
  async enter(options: BrowserContextOptions = {}, prepare?: (page: Page) => Promise<unknown>, query = ""): Promise<Page> {
    // A test intercepts the page's own requests, not those of a service worker.
    const fresh: BrowserContextOptions = { viewport: { width: 1280, height: 900 }, locale: "en", serviceWorkers: "block" };
    const context = await this.browser.newContext({ ...fresh, ...options });
    const page = await context.newPage();
    page.on("pageerror", (error) => pageErrors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && pageErrors.push(message.text()));
    await prepare?.(page);
    await page.goto(new URL(query, this.address).href);
    return page;
  }

  async end(): Promise<void> {
    await this.browser.close();
    await this.stopServer();
  }

  stopServer(): Promise<void> {
    return this.server.close();
  }
}

/** Exceptions of pages, and errors in their consoles. */
export const pageErrors: string[] = [];

/** `test` with the `visit` that a file shares, and a `page` of its own. Each test closes the pages that it opened. */
export function pageTest(options?: Parameters<typeof Visit.begin>[0]) {
  return test.extend<{ $file: { visit: Visit }; $test: { closing: void; page: Page } }>({
    visit: [
      async ({}, use) => {
        const visit = await Visit.begin(options);
        await use(visit);
        await visit.end();
        expect(pageErrors, "errors of pages").toEqual([]);
      },
      { scope: "file" },
    ],
    closing: [
      async ({ visit }, use) => {
        const shared = new Set(visit.browser.contexts());
        await use();
        for (const context of visit.browser.contexts()) if (!shared.has(context)) await context.close();
      },
      { auto: true },
    ],
    page: async ({ visit, closing: _ }, use) => use(await visit.open()),
  });
}

/** Drop files onto the page, as from a desktop. */
export async function drop(page: Page, files: { name: string; type: string; bytes: Buffer }[]): Promise<void> {
  const given = files.map(({ name, type, bytes }) => ({ name, type, text: bytes.toString("base64") }));
  await page.evaluate((all) => {
    const transfer = new DataTransfer();
    for (const { name, type, text } of all) {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type }));
    }
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, given);
}

/** Drop a file or a folder of this machine. */
export async function dropPath(page: Page, dropped: string): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [dropped], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) await session.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  await session.detach();
}

/** Click an element at the moment when the page starts to process an image. */
export async function clickWhileProcessing(page: Page, selector: string): Promise<void> {
  await page.evaluate((wanted) => {
    const status = document.querySelector("#status")!;
    new MutationObserver((_, observer) => {
      if (!status.textContent!.startsWith("Processing")) return;
      observer.disconnect();
      document.querySelector<HTMLElement>(wanted)!.click();
    }).observe(status, { childList: true });
  }, selector);
}

/** The content of a file that is no image and no video. */
export const ODD = Buffer.from("odd");

/** An image file to drop; without content it is the photo. */
export function image(name = "astronaut.png", bytes: Buffer = readFileSync(astronaut())) {
  return { name, type: "image/png", bytes };
}

export async function dropAstronaut(page: Page): Promise<void> {
  await drop(page, [image()]);
  await waitForText(page, "#status", /^astronaut\.png\s?: .+,/);
}

export async function startCamera(page: Page): Promise<void> {
  await page.click("#use-camera");
  await waitForText(page, "#throughput", /frames/);
}

/** The id of the element that has the focus, or of the one around it, or else its kind. */
export function focused(page: Page): Promise<string> {
  return page.evaluate(() => document.activeElement!.id || document.activeElement!.parentElement?.id || document.activeElement!.tagName);
}

// Pages open in English, whatever the language of this machine.
setLanguage("en");

/** What the page says in a language, as its file has it. */
export function says(key: Key, values: Record<string, string | number> = {}, language: Language = "en"): string {
  setLanguage(language);
  const sentence = translate(key, values);
  setLanguage("en");
  return sentence;
}

/** Show another output of the model. */
export async function chooseOutput(page: Page, name: "answer" | "fer2013" | "perceived"): Promise<void> {
  await page.selectOption("#outputs", name);
}

/**
 * A video of 2.5 s: of the astronaut, of two faces of which the larger (the left one) leaves halfway, of a face that is too
 * small for the look at each frame, or of sound only.
 */
export function clip(shown: "astronaut" | "two" | "small" | "slow" | "frozen" | "sound"): Buffer {
  const file = path.join(folder, `${shown}.webm`);
  if (!existsSync(file)) python("make_video.py", file, shown);
  return readFileSync(file);
}

/** Choose a video file on the page. */
export async function openVideo(page: Page, buffer: Buffer, name = "clip.webm"): Promise<void> {
  await page.setInputFiles("#video-file", { name, mimeType: "video/webm", buffer });
}

/** How many frames of a video or camera the page says that it has processed. */
export async function frameCount(page: Page): Promise<number> {
  const text = (await page.textContent("#throughput")) ?? "";
  return Number(/^([\d,]+) of|([\d,]+) frames$/.exec(text)?.slice(1).join("").replace(",", "") ?? 0);
}

/** The JSON that the page saves. */
export async function saved(page: Page): Promise<Record<string, unknown>[]> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  return JSON.parse(readFileSync(await download.path(), "utf8")) as Record<string, unknown>[];
}

/** The text of an element, as soon as it matches. */
export async function waitForText(page: Page, selector: string, what: RegExp): Promise<string> {
  await page.locator(selector).filter({ hasText: what }).first().waitFor({ state: "attached" });
  return (await page.textContent(selector)) ?? "";
}

/** The sentence of an error with this code, as soon as the page shows one that contains `text`. */
export async function reports(page: Page, code: string, text = ""): Promise<string> {
  const error = page.locator(`.errors [data-code="${code}"]`).filter({ hasText: text }).first();
  await error.waitFor({ state: "attached" });
  return (await error.textContent()) ?? "";
}

/** Codes of the errors that the page shows. */
export function errorCodes(page: Page): Promise<string[]> {
  return page.locator(".errors [data-code]").evaluateAll((all) => all.map((each) => (each as HTMLElement).dataset["code"]!));
}

/** What axe finds by WCAG 2.2 A and AA and its own best practices. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations: found } = await (globalThis as unknown as { axe: typeof axe }).axe.run(document);
    return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
}
