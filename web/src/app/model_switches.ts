/** The lists of models, of the model's outputs, and of the label schemes of the chosen output. */

import { outputsOf } from "../heads/votes";
import { Classifier } from "../model/classifier";
import { modelAddress, offeredModel } from "../model/manifest";
import { schemesFor } from "../predictions/label_schemes";
import { element } from "../view/elements";
import { fillSelect, settingsOf } from "../view/settings";
import type { Page } from "../view/page";
import type { App } from "./app";

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
