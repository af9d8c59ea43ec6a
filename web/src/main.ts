/** Starts the page: loads the manifest and the networks, and binds the controls. */

import { App } from "./app/app";
import { bindLanguages, bindModels, bindSettings, bindSources } from "./app/controls";
import { type Problem, problem } from "./errors";
import { translate, translateDocument } from "./locales/translate";
import { keeping } from "./model/download";
import { fetchManifest, fetchModelNames, type Manifest, modelAddress } from "./model/manifest";
import { defaultOutput, outputsOf } from "./heads/votes";
import { reasonOf } from "./page_error";
import { Predictor } from "./predictions/predictor";
import { element } from "./view/elements";
import { showProblems } from "./view/messages";
import { Page } from "./view/page";
import { type Settings, settingsOf } from "./view/settings";

keeping.isOn = true;
translateDocument(document);
// Before the controls are bound, a dropped file must not make the browser leave the page.
document.ondragover = document.ondrop = (event) => event.preventDefault();
void start();

async function start(): Promise<void> {
  const loading = () => translate("loading");
  element("status").textContent = loading();
  const naming = fetchModelNames();
  const address = modelAddress(0);
  const fetching = fetchManifest(address);
  const predictor = Predictor.load(address, fetching);
  // Code that needs the networks waits for them; an error is shown once, below.
  predictor.catch(() => {});
  let manifest: Manifest;
  let models: string[];
  try {
    [manifest, models] = await Promise.all([fetching, naming]);
  } catch (error) {
    // Without the manifest the page can do nothing.
    element("status").textContent = "";
    showProblems([loadProblem(error)]);
    return;
  }
  const settings: Settings = { ...settingsOf(defaultOutput(outputsOf(manifest))), mirror: false };
  const page = new Page(manifest, settings);
  const app = new App(page, predictor);
  page.messages.show(loading);
  bindSources(app, page);
  bindModels(app, page, models);
  bindSettings(app, page);
  bindLanguages(app);
  app.refresh();
  try {
    await predictor;
  } catch (error) {
    page.messages.addProblem(loadProblem(error));
    return;
  } finally {
    page.messages.replace(loading, app.stage.summary);
  }
  document.documentElement.dataset["ready"] = "yes";
  // Without a service worker the page works, but not offline.
  void navigator.serviceWorker?.register("worker.js").catch(() => {});
  // `mien webcam` opens the page with ?webcam=1.
  if (new URLSearchParams(location.search).get("webcam") === "1") await app.videos.useCamera();
  else void app.examples.classify();
}

function loadProblem(error: unknown): Problem {
  return problem("load-failed", () => ({ reason: reasonOf(error) }));
}
