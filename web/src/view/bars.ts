import { expression, percent } from "../locales/translate";
import type { Prediction } from "../predictions/prediction";
import { colourOf } from "./colours";
import { resizeChildren } from "./elements";

/** A bar for each expression, as long as its probability. */
export function showBars(list: HTMLElement, classes: string[], prediction: Prediction | null): void {
  const rows = resizeChildren(list, classes.length, makeRow);
  classes.forEach((name, index) => {
    const [label, bar, number] = [...rows[index]!.children] as HTMLElement[];
    const probability = prediction?.probabilities[name] ?? 0;
    rows[index]!.classList.toggle("top", prediction?.top === name);
    label!.textContent = expression(name);
    number!.textContent = prediction ? percent(probability) : "";
    bar!.setAttribute("aria-label", expression(name));
    bar!.setAttribute("aria-valuenow", probability.toFixed(3));
    bar!.setAttribute("aria-valuetext", percent(probability));
    const fill = bar!.firstElementChild as HTMLElement;
    fill.style.width = `${100 * probability}%`;
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
  row.children[2]!.className = "numeric";
  row.children[2]!.setAttribute("aria-hidden", "true");
  return row;
}
