/** Binds buttons, switches, drops and pastes to the app's functions. */

import { currentLanguage, languages, percent, setLanguage } from "../locales/translate";
import { droppedFiles } from "../sources/dropped";
import { element, make } from "../view/elements";
import type { Page } from "../view/page";
import type { App } from "./app";

export function bindSources(app: App, page: Page): void {
  const images = element<HTMLInputElement>("image-files");
  const video = element<HTMLInputElement>("video-file");
  for (const id of ["choose-images", "use-camera", "play-video"]) element<HTMLButtonElement>(id).disabled = false;
  element("choose-images").onclick = () => images.click();
  element("invitation").onclick = () => images.click();
  element("play-video").onclick = () => video.click();
  element("use-camera").onclick = () => void app.videos.useCamera();
  element("stop").onclick = () => app.stage.stop();
  element("classify-whole").onclick = () => void app.images.classifyWhole();
  element("explain").onclick = () => void app.explain();
  page.drawing.onBox = (fractions) => void app.addFace(fractions);
  element("remove-box").onclick = () => void app.images.removeBox();
  element("clear-images").onclick = () => {
    app.images.clear();
    void app.examples.classify();
  };
  element("copy").onclick = () => void app.copy();
  element("save").onclick = () => app.save();
  element("save-table").onclick = () => app.saveTable();
  const model = element<HTMLInputElement>("model-file");
  element("open-model").onclick = () => model.click();
  for (const input of [images, video, model]) {
    input.onchange = () => {
      void app.open([...(input.files ?? [])]);
      // Without this, the same file could not be chosen again.
      input.value = "";
    };
  }
  bindDrops(app);
  document.onpaste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    // Pasted text is ignored, without a message.
    if (files.length) void app.open(files);
  };
}

function bindDrops(app: App): void {
  const screen = element("screen");
  document.ondragover = (event) => {
    event.preventDefault();
    if (hasFiles(event)) screen.classList.add("drop-target");
  };
  document.ondragleave = () => screen.classList.remove("drop-target");
  document.ondrop = (event) => {
    event.preventDefault();
    screen.classList.remove("drop-target");
    if (hasFiles(event)) void droppedFiles(event.dataTransfer!).then((files) => app.open(files));
  };
}

/** Text may be dropped, too. */
function hasFiles({ dataTransfer }: DragEvent): boolean {
  return dataTransfer?.types.includes("Files") ?? false;
}

export function bindSettings(app: App, page: Page): void {
  const { settings } = page;
  const minConfidence = element<HTMLInputElement>("min-confidence");
  minConfidence.oninput = () => {
    settings.minConfidence = Number(minConfidence.value) / 100;
    app.refresh();
  };
  const mirror = element<HTMLInputElement>("mirror");
  mirror.onchange = () => {
    settings.mirror = mirror.checked;
    app.refresh();
  };
  const minScore = element<HTMLInputElement>("min-score");
  minScore.oninput = () => (element("min-score-value").textContent = percent(Number(minScore.value) / 100));
  // Wait until the slider is released, because every image is processed again.
  minScore.onchange = () => void app.setMinScore(Number(minScore.value) / 100);
  element("face-crops").onchange = () => void app.images.repeat();
}

export function bindLanguages(app: App): void {
  const buttons = languages().map(([lang, title]) => make("button", { type: "button", lang, title }, lang.toUpperCase()));
  const mark = () => buttons.forEach((button) => (button.ariaPressed = String(button.lang === currentLanguage())));
  for (const button of buttons) {
    button.onclick = () => {
      setLanguage(button.lang);
      mark();
      app.refresh();
    };
  }
  element("languages").replaceChildren(...buttons);
  mark();
}
