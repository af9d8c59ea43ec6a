/** Lists of the model's outputs and of the chosen output's label schemes. A list with one entry is hidden. */

import { outputName, translate } from "../locales/translate";
import type { Manifest } from "../model/manifest";
import { outputsOf } from "../heads/votes";
import { schemesFor } from "../predictions/label_schemes";
import { element } from "./elements";
import type { Settings } from "./settings";

export function showModelSwitches(manifest: Manifest, { output, scheme }: Settings): void {
  const outputs = outputsOf(manifest).map((each): [string, string] => [each.name, outputName(each)]);
  fillSelect("outputs", outputs, output.name);
  const schemes = schemesFor(output).map(({ name, groups }): [string, string] => {
    return [name, translate(`scheme_${name}`, { count: Object.keys(groups).length })];
  });
  fillSelect("schemes", schemes, scheme.name);
}

/** Fill a list with values and their texts. */
export function fillSelect(id: string, options: [value: string, text: string][], chosen: string): void {
  const select = element<HTMLSelectElement>(id);
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
  select.parentElement!.hidden = options.length < 2;
}
