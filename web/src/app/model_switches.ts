/** The list of models, and the switches that depend on the model: its outputs, and the label schemes of the chosen one. */

import { outputsOf } from "../model/outputs";
import { schemesFor } from "../predictions/label_schemes";
import { element } from "../view/elements";
import type { Page } from "../view/page";
import { fillRadioGroup } from "../view/radio_group";
import { settingsOf } from "../view/settings";
import type { App } from "./app";

/** Fill the list of models; with a single one there is none. */
export function bindModels(app: App, page: Page, names: string[]): void {
  const select = element<HTMLSelectElement>("models");
  let used = 0;
  select.replaceChildren(...names.map((name) => new Option(name)));
  element("model-choice").hidden = names.length < 2;
  select.onchange = async () => {
    select.disabled = true;
    if (await app.useModel(select.selectedIndex, select.value)) used = select.selectedIndex;
    select.selectedIndex = used;
    select.disabled = false;
    fillModelSwitches(app, page);
    app.refresh();
  };
}

export function fillModelSwitches(app: App, page: Page): void {
  const outputs = outputsOf(page.manifest);
  const choices = outputs.map((output) => ({
    value: output.name,
    choose: () => {
      Object.assign(page.settings, settingsOf(output));
      fillSchemes(app, page);
      showAgain(app, page);
    },
  }));
  fillRadioGroup(element("outputs"), choices, outputs.findIndex(({ name }) => name === page.settings.output.name));
  fillSchemes(app, page);
}

function fillSchemes(app: App, page: Page): void {
  const choices = schemesFor(page.settings.output).map((scheme) => ({
    value: scheme.name,
    choose: () => {
      page.settings.scheme = scheme;
      showAgain(app, page);
    },
  }));
  fillRadioGroup(element("schemes"), choices, 0);
}

/** An occlusion map belongs to one answer. */
function showAgain(app: App, page: Page): void {
  page.forgetMap();
  app.refresh();
}
