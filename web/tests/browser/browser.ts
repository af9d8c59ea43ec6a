/** A real Chromium on the built page, and what the tests do with it. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

import { serve } from "./site";

export const ROOT = path.join(import.meta.dirname, "../../..");
export const BUILT = path.join(ROOT, "src/mien/serve/static");

const PYTHON = process.env["MIEN_PYTHON"] ?? path.join(ROOT, ".venv/bin/python");
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const FAKE_CAMERA = "--use-fake-device-for-media-stream";
const ALLOWED = "--use-fake-ui-for-media-stream";

/** What the browser has by way of a camera. */
export type Camera = "astronaut" | "denied" | "absent";

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

export async function launch(camera: Camera): Promise<Browser> {
  const flags: Record<Camera, string[]> = {
    astronaut: [FAKE_CAMERA, ALLOWED],
    denied: [FAKE_CAMERA],
    absent: [ALLOWED],
  };
  const args = [...QUIET, ...flags[camera]];
  if (camera === "astronaut") {
    const film = path.join(folder, "camera.y4m");
    if (!existsSync(film)) python("make_camera.py", film);
    args.push(`--use-file-for-fake-video-capture=${film}`);
  }
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args });
}

/** A browser and the page's address. */
export class Visit {
  private constructor(
    readonly browser: Browser,
    readonly address: string,
    private readonly server: { close(): void; closeAllConnections(): void },
  ) {}

  static async begin({ camera = "absent" as Camera, isolated = true, folders = [BUILT] } = {}): Promise<Visit> {
    if (!existsSync(path.join(BUILT, "model.json"))) throw new Error("The page is not built: make web");
    const [{ server, address }, browser] = await Promise.all([serve(folders, isolated), launch(camera)]);
    return new Visit(browser, address, server);
  }

  /** Open the page and wait until it can read. */
  async open(
    options: BrowserContextOptions = {},
    prepare?: (page: Page) => Promise<unknown>,
    query = "",
  ): Promise<Page> {
    const page = await this.enter(options, prepare, query);
    await page.waitForSelector("html[data-ready]");
    return page;
  }

  /** Open the page, ready or not. Anything that it throws or complains of in the console is a failure. */
  async enter(
    options: BrowserContextOptions = {},
    prepare?: (page: Page) => Promise<unknown>,
    query = "",
  ): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en", ...options });
    const page = await context.newPage();
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    await prepare?.(page);
    await page.goto(new URL(query, this.address).href);
    return page;
  }

  async end(): Promise<void> {
    await this.browser.close();
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** What pages threw or complained of. */
export const faults: string[] = [];

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

/** Click something in the moment in which the page begins to look at a picture. */
export async function clickWhileLooking(page: Page, selector: string): Promise<void> {
  await page.evaluate((wanted) => {
    const status = document.querySelector("#status")!;
    new MutationObserver((_, observer) => {
      if (!status.textContent!.startsWith("Looking")) return;
      observer.disconnect();
      document.querySelector<HTMLElement>(wanted)!.click();
    }).observe(status, { childList: true });
  }, selector);
}

export async function dropAstronaut(page: Page): Promise<void> {
  await drop(page, [{ name: "astronaut.png", type: "image/png", bytes: readFileSync(astronaut()) }]);
  await page.waitForSelector("#answer strong");
}

/** A film of the astronaut that Chromium itself makes, of two of which the larger leaves halfway, or of sound alone. */
export async function film(page: Page, shown: "astronaut" | "two" | "nothing"): Promise<Buffer> {
  const photo = readFileSync(astronaut()).toString("base64");
  const letters = await page.evaluate(
    async ([text, what]) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const picture = await createImageBitmap(new Blob([bytes]));
      const width = what === "two" ? 960 : 480;
      const canvas = Object.assign(document.createElement("canvas"), { width, height: 480 });
      const context = canvas.getContext("2d")!;
      let at = 0;
      const began = performance.now();
      const drawing = setInterval(() => {
        context.drawImage(picture, (at += 1) % 5, 0);
        if (what !== "two") return;
        if (performance.now() - began > 1300) context.fillRect(0, 0, 480, 480);
        context.drawImage(picture, 480 + (at % 5), 0, 420, 420);
      }, 30);
      const sound = new AudioContext();
      const tone = sound.createOscillator();
      const heard = tone.connect(sound.createMediaStreamDestination()) as MediaStreamAudioDestinationNode;
      tone.start();
      const stream = what !== "nothing" ? canvas.captureStream(30) : heard.stream;
      const recorder = new MediaRecorder(stream);
      const parts: Blob[] = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const ended = new Promise((done) => (recorder.onstop = done));
      recorder.start();
      await new Promise((done) => setTimeout(done, 2500));
      recorder.stop();
      await ended;
      clearInterval(drawing);
      await sound.close();
      const film = new Uint8Array(await new Blob(parts).arrayBuffer());
      return Array.from(film, (byte) => String.fromCharCode(byte)).join("");
    },
    [photo, shown] as const,
  );
  return Buffer.from(letters, "latin1");
}

/** The JSON that the page saves. */
export async function saved(page: Page): Promise<Record<string, unknown>[]> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  return JSON.parse(readFileSync(await download.path(), "utf8")) as Record<string, unknown>[];
}

/** The text of an element, once it says what is expected. */
export async function says(page: Page, selector: string, what: RegExp): Promise<string> {
  await page.locator(selector).filter({ hasText: what }).first().waitFor({ state: "attached" });
  return (await page.textContent(selector)) ?? "";
}
