/** The lists of models, of the model's outputs, and of the label schemes of the chosen output. */

import { outputsOf } from "../heads/votes";
import { offeredModel } from "../model/manifest";
import { schemesFor } from "../predictions/label_schemes";
import { element } from "../view/elements";
import { fillSelect } from "../view/model_switches";
import type { Page } from "../view/page";
import { settingsOf } from "../view/settings";
import type { App } from "./app";

export function bindModels(app: App, page: Page, names: string[]): void {
  let used = 0;
  const fast = offeredModel(names, navigator);
  const offer = element("fast-offer");
  offer.hidden = fast < 0;
  fillSelect("models", names.map((name) => [name, name]), names[used]!);
  const models = element<HTMLSelectElement>("models");
  element("use-fast").onclick = () => {
    models.selectedIndex = fast;
    void use();
  };
  models.onchange = use;
  const outputs = element<HTMLSelectElement>("outputs");
  outputs.onchange = () => change(settingsOf(outputsOf(page.manifest)[outputs.selectedIndex]!));
  const schemes = element<HTMLSelectElement>("schemes");
  schemes.onchange = () => change({ scheme: schemesFor(page.settings.output)[schemes.selectedIndex]! });

  async function use(): Promise<void> {
    models.disabled = true;
    if (await app.useModel(models.selectedIndex, models.value)) used = models.selectedIndex;
    models.selectedIndex = used;
    models.disabled = false;
    offer.hidden = fast < 0 || used === fast;
    app.refresh();
  }

  function change(settings: Partial<Page["settings"]>): void {
    Object.assign(page.settings, settings);
    // An occlusion map belongs to one answer.
    page.forgetMap();
    app.refresh();
  }
}
