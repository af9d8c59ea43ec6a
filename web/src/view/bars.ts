import type { Reading } from "../readings/reading";
import { expression, percent } from "../words/words";
import { colourOf } from "./colours";
import { children } from "./elements";

/** A bar for each expression. */
export function showBars(list: HTMLElement, classes: string[], reading: Reading | null): void {
  const rows = children(list, classes.length, makeRow);
  classes.forEach((name, index) => {
    const [label, bar, figure] = [...rows[index]!.children] as HTMLElement[];
    const share = reading?.probabilities[name] ?? 0;
    rows[index]!.classList.toggle("top", reading?.top === name);
    label!.textContent = expression(name);
    figure!.textContent = reading ? percent(share) : "";
    bar!.setAttribute("aria-label", expression(name));
    bar!.setAttribute("aria-valuenow", share.toFixed(3));
    bar!.setAttribute("aria-valuetext", percent(share));
    const fill = bar!.firstElementChild as HTMLElement;
    fill.style.width = `${100 * share}%`;
    fill.style.background = colourOf(name, index);
  });
}

function makeRow(): HTMLLIElement {
  const row = document.createElement("li");
  row.append(document.createElement("span"), document.createElement("div"), document.createElement("span"));
  const bar = row.children[1]!;
  bar.setAttribute("role", "meter");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", "1");
  bar.append(document.createElement("div"));
  row.children[2]!.className = "figures";
  row.children[2]!.setAttribute("aria-hidden", "true");
  return row;
}
