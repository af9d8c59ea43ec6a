/** The texts of the switches between a model's outputs and between label schemes. */

import { outputName, translate } from "../locales/translate";
import type { Manifest } from "../model/manifest";
import { outputsOf } from "../model/outputs";
import { type LabelScheme, schemesFor } from "../predictions/label_schemes";
import { element } from "./elements";
import { labelRadioGroup } from "./radio_group";
import type { Settings } from "./settings";

export function labelModelSwitches(manifest: Manifest, { output }: Settings): void {
  labelRadioGroup(element("outputs"), (name) => outputName(outputsOf(manifest).find((each) => each.name === name)!));
  const count = (name: string) =>
    Object.keys(schemesFor(output).find((scheme) => scheme.name === name)!.groups).length;
  // The visible text is a number; the label says what it means.
  labelRadioGroup(
    element("schemes"),
    (name) => String(count(name)),
    (name) => translate(`scheme_${name as LabelScheme["name"]}`, { count: count(name) }),
  );
}
