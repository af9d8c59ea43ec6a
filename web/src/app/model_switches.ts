/** The lists of models, of the model's outputs, and of the label schemes of the chosen output. */

import { outputsOf } from "../model/outputs";
import { schemesFor } from "../predictions/label_schemes";
import { element } from "../view/elements";
import { fillSelect } from "../view/model_switches";
import type { Page } from "../view/page";
import { settingsOf } from "../view/settings";
import type { App } from "./app";

/** `used` is the place of the model that the page starts with. */
export function bindModels(app: App, page: Page, names: string[], used: number): void {
  fillSelect("models", names.map((name) => [name, name]), names[used]!);
  const models = element<HTMLSelectElement>("models");
  models.onchange = async () => {
    models.disabled = true;
    if (await app.useModel(models.selectedIndex, models.value)) used = models.selectedIndex;
    models.selectedIndex = used;
    models.disabled = false;
    app.refresh();
  };
  const outputs = element<HTMLSelectElement>("outputs");
  outputs.onchange = () => change(settingsOf(outputsOf(page.manifest)[outputs.selectedIndex]!));
  const schemes = element<HTMLSelectElement>("schemes");
  schemes.onchange = () => change({ scheme: schemesFor(page.settings.output)[schemes.selectedIndex]! });

  function change(settings: Partial<Page["settings"]>): void {
    Object.assign(page.settings, settings);
    // An occlusion map belongs to one answer.
    page.forgetMap();
    app.refresh();
  }
}
