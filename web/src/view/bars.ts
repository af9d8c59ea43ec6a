import { MAX_ALTERNATIVES } from "../heads/label";
import { expression, percent, translate } from "../locales/translate";
import type { Prediction } from "../predictions/prediction";
import { colourOf } from "./colours";
import { copiesOf, element, resizeChildren } from "./elements";

/** Number of bars shown until the user asks for all: the most probable classes, so all that an answer names. */
const FEW = 1 + MAX_ALTERNATIVES;

/** A bar for each expression, as long as its probability: all in the model's order, or only the most probable. */
export class Bars {
  readonly #list = element("bars");
  readonly #more = element("more-bars");

  /** `onChange` is called when the user wants more or fewer bars. */
  constructor(onChange: () => void) {
    this.#more.onclick = () => {
      this.#more.setAttribute("aria-expanded", String(!this.#showsAll));
      onChange();
    };
  }

  show(classes: string[], prediction: Prediction | null): void {
    const all = classes.map((name, index) => ({ name, colour: colourOf(name, index), probability: prediction?.probabilities[name] ?? 0 }));
    const shown = this.#showsAll ? all : all.toSorted((one, other) => other.probability - one.probability).slice(0, FEW);
    const rows = resizeChildren(this.#list, shown.length, copiesOf("bar"));
    shown.forEach(({ name, colour, probability }, index) => {
      const [label, bar, number] = [...rows[index]!.children] as HTMLElement[];
      rows[index]!.classList.toggle("top", prediction?.top === name);
      label!.textContent = prediction ? expression(name) : "";
      number!.textContent = prediction ? percent(probability) : "";
      bar!.setAttribute("aria-label", expression(name));
      bar!.setAttribute("aria-valuenow", probability.toFixed(3));
      bar!.setAttribute("aria-valuetext", percent(probability));
      const fill = bar!.firstElementChild as HTMLElement;
      fill.style.width = `${100 * probability}%`;
      fill.style.background = colour;
    });
    this.#list.classList.toggle("empty", !prediction);
    this.#more.hidden = classes.length <= FEW;
    this.#more.textContent = this.#showsAll ? translate("fewer") : translate("more", { count: classes.length });
  }

  get #showsAll(): boolean {
    return this.#more.getAttribute("aria-expanded") === "true";
  }
}
