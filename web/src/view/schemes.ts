/** The switch between all, five and two classes. */

import type { Scheme } from "../readings/schemes";
import { word } from "../words/words";

export function makeSchemes(group: HTMLElement, schemes: Scheme[], choose: (scheme: Scheme) => void): void {
  schemes.forEach((scheme, index) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const text = document.createElement("span");
    input.type = "radio";
    input.name = "scheme";
    input.value = scheme.name;
    input.checked = index === 0;
    input.onchange = () => choose(scheme);
    text.textContent = String(Object.keys(scheme.groups).length);
    label.append(input, text);
    group.append(label);
  });
}

/** The number that is seen says little to a screen reader. */
export function translateSchemes(group: HTMLElement): void {
  for (const input of group.querySelectorAll("input")) {
    const count = input.nextElementSibling?.textContent ?? "";
    const label = word(`scheme_${input.value as Scheme["name"]}`, { count });
    input.setAttribute("aria-label", label);
    input.parentElement!.title = label;
  }
}
