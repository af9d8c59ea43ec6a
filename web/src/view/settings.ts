import { type Output, outputsOf } from "../heads/votes";
import { outputName, translate } from "../locales/translate";
import type { Manifest } from "../model/manifest";
import { type LabelScheme, schemesFor } from "../predictions/label_schemes";
import { element } from "./elements";

/** The user's settings for showing predictions. */
export interface Settings {
  /** Output of the model that is used. */
  output: Output;
  scheme: LabelScheme;
  /** Confidence, 0..1, below which the page shows "unsure". */
  minConfidence: number;
  mirror: boolean;
}

/** Return the default settings for an output, until the user changes them. */
export function settingsOf(output: Output): Pick<Settings, "output" | "scheme" | "minConfidence"> {
  return { output, scheme: schemesFor(output)[0]!, minConfidence: output.byVotes ? output.unsureBelow : 0 };
}

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
