/** Binds buttons, switches, drops and pastes to the app's functions. */

import { outputsOf } from "../heads/votes";
import { currentLanguage, languages, percent, setLanguage } from "../locales/translate";
import { Classifier } from "../model/classifier";
import { modelAddress, offeredModel } from "../model/manifest";
import { schemesFor } from "../predictions/label_schemes";
import { droppedFiles } from "../sources/dropped";
import { element, make } from "../view/elements";
import type { Page } from "../view/page";
import { fillSelect, settingsOf } from "../view/settings";
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
  element("save").onclick = () => app.save("json");
  element("save-table").onclick = () => app.save("csv");
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

/** The lists of models, of the model's outputs, and of the label schemes of the chosen output. */
export function bindModels(app: App, page: Page, given: string[]): void {
  const names = [...given];
  let used = 0;
  /** Number of models asked for, and number of choices in the list. */
  let [requests, choices] = [0, 0];
  const openers = names.map((_, which) => () => Classifier.load(modelAddress(which)));
  const fast = offeredModel(names, navigator);
  const offer = element("fast-offer");
  list();
  app.addModel = (name, open) => request(async () => {
    if (!(await app.useModel(name, open))) return false;
    const before = names.indexOf(name);
    used = before < 0 ? names.length : before;
    names[used] = name;
    openers[used] = open;
    return true;
  });
  const models = element<HTMLSelectElement>("models");
  element("use-fast").onclick = () => {
    models.selectedIndex = fast;
    // The clicked button will be hidden.
    element("min-confidence").focus();
    void use();
  };
  models.onchange = use;
  const outputs = element<HTMLSelectElement>("outputs");
  outputs.onchange = () => change(settingsOf(outputsOf(page.manifest)[outputs.selectedIndex]!));
  const schemes = element<HTMLSelectElement>("schemes");
  schemes.onchange = () => change({ scheme: schemesFor(page.settings.output)[schemes.selectedIndex]! });

  function list(): void {
    fillSelect("models", names.map((name) => [name, name]), names[used]!);
    // A model of the user may have other classes.
    offer.hidden = fast < 0 || used === fast || used >= given.length;
  }

  /** Show the model in use when the latest request ends. Until then the list shows what the user chose. */
  async function request(work: () => Promise<boolean>): Promise<boolean> {
    const number = (requests += 1);
    const isUsed = await work();
    if (number === requests) list();
    return isUsed;
  }

  async function use(): Promise<void> {
    const chosen = models.selectedIndex;
    const choice = (choices += 1);
    page.messages.clearProblems();
    await request(async () => {
      // With the arrow keys, the next model may be chosen before this one's turn.
      const isUsed = await app.useModel(models.value, openers[chosen]!, () => choice === choices);
      if (isUsed) used = chosen;
      return isUsed;
    });
  }

  function change(settings: Partial<Page["settings"]>): void {
    Object.assign(page.settings, settings);
    // An occlusion map is only valid for one answer.
    page.forgetMap();
    app.refresh();
  }
}
