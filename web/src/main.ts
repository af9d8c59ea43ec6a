/** Starts the page: loads the networks, and ties buttons, keys, drops and pastes to what the app does. */

import { App } from "./app";
import { fetchManifest, type Manifest } from "./model/manifest";
import { Page } from "./page";
import { Reader } from "./reader";
import { schemesFor } from "./readings/schemes";
import type { Settings } from "./settings";
import { element } from "./view/elements";
import { makeSchemes } from "./view/schemes";
import { currentLanguage, type Language, setLanguage, translate, word } from "./words/words";

translate(document);
// Before anything is tied to it, a dropped file would take the browser away from the page.
document.ondragover = document.ondrop = (event) => event.preventDefault();
void start();

async function start(): Promise<void> {
  const loading = () => word("loading");
  element("status").textContent = loading();
  const reader = Reader.load();
  // Whoever needs the networks awaits them; what is wrong with them is said once, below.
  reader.catch(() => {});
  let manifest: Manifest;
  try {
    manifest = await fetchManifest();
  } catch (error) {
    // Without the manifest there is no page that could do anything.
    element("status").textContent = "";
    element("fault").textContent = faultOf(error);
    return;
  }
  const settings: Settings = { scheme: schemesFor(manifest.classes)[0]!, least: 0.4, mirror: false };
  const page = new Page(manifest, settings);
  const app = new App(page, reader);
  page.say(loading);
  tieSources(app);
  tieSettings(app, page, manifest);
  tieLanguages(app);
  app.refresh();
  try {
    await reader;
  } catch (error) {
    page.complainForGood(() => faultOf(error));
    return;
  } finally {
    page.unsay(loading);
  }
  document.documentElement.dataset["ready"] = "yes";
  // `mien webcam` opens the page so.
  if (new URLSearchParams(location.search).get("webcam") === "1") void app.useCamera();
}

function faultOf(error: unknown): string {
  return word("fault_loading", { reason: String((error as Error).message ?? error) });
}

function tieSources(app: App): void {
  const pictures = element<HTMLInputElement>("picture-files");
  const video = element<HTMLInputElement>("video-file");
  for (const id of ["choose", "film", "camera"]) element<HTMLButtonElement>(id).disabled = false;
  element("choose").onclick = () => pictures.click();
  element("film").onclick = () => video.click();
  element("camera").onclick = () => void app.useCamera();
  element("stop").onclick = () => app.stop();
  element("read-whole").onclick = () => void app.readWhole();
  element("explain").onclick = () => void app.explain();
  element("copy").onclick = () => void app.copy();
  element("download").onclick = () => app.download();
  for (const input of [pictures, video]) {
    input.onchange = () => {
      void app.open([...(input.files ?? [])]);
      // The same file may be chosen again.
      input.value = "";
    };
  }
  const screen = element("screen");
  document.ondragover = (event) => {
    event.preventDefault();
    screen.classList.add("wanted");
  };
  document.ondragleave = () => screen.classList.remove("wanted");
  document.ondrop = (event) => {
    event.preventDefault();
    screen.classList.remove("wanted");
    void app.open([...(event.dataTransfer?.files ?? [])]);
  };
  document.onpaste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    // Pasted text is no picture, and no mistake.
    if (files.length) void app.open(files);
  };
}

function tieSettings(app: App, page: Page, manifest: Manifest): void {
  const { settings } = page;
  makeSchemes(element("schemes"), schemesFor(manifest.classes), (scheme) => {
    settings.scheme = scheme;
    page.forgetMap();
    app.refresh();
  });
  const least = element<HTMLInputElement>("least");
  least.oninput = () => {
    settings.least = Number(least.value) / 100;
    app.refresh();
  };
  const mirror = element<HTMLInputElement>("mirror");
  mirror.onchange = () => {
    settings.mirror = mirror.checked;
    app.refresh();
  };
  element("crops").onchange = () => void app.readAnew();
}

function tieLanguages(app: App): void {
  const buttons = [...document.querySelectorAll<HTMLButtonElement>("[data-language]")];
  const mark = () => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset["language"] === currentLanguage()));
    }
  };
  for (const button of buttons) {
    button.onclick = () => {
      setLanguage(button.dataset["language"] as Language);
      mark();
      app.refresh();
    };
  }
  mark();
}
