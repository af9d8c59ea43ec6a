/** A prediction: its text in large letters, at a box, and for a screen reader; its bars. */

import { MAX_ALTERNATIVES } from "../heads/label";
import { decimal, expression, percent, translate } from "../locales/translate";
import { answerOf, areShares, type Prediction } from "../predictions/prediction";
import { colourOf } from "./colours";
import { copiesOf, element, make, resizeChildren } from "./elements";

/** "happy, 87%", "neutral or happy, 31%" or "unsure, perhaps happy, 30%"; for votes "87% of people would say happy". */
export function answerText(prediction: Prediction, minConfidence: number): string {
  const [answer, probability] = answerParts(prediction, minConfidence);
  const { kind } = answerOf(prediction, minConfidence);
  if (areShares(prediction) && kind !== "unsure") return probability;
  return translate("answer", { expression: answer, probability });
}

/** "happy", "neutral or happy" or "unsure". */
export function largeText(prediction: Prediction, minConfidence: number): string {
  return answerParts(prediction, minConfidence)[0];
}

/** The short form at a box: "happy 87%", "neutral or happy", "unsure" or "not a face". */
export function captionText(prediction: Prediction, minConfidence: number): string {
  const { kind, name, probability, alternatives } = answerOf(prediction, minConfidence);
  if (kind === "unsure") return translate("unsure");
  if (alternatives.length) return eitherText([name, ...alternatives]);
  return kind === "expression" ? `${expression(name)} ${percent(probability)}` : expression(name);
}

/** The colour of the expression; null if the answer is not an expression. */
export function answerColour(prediction: Prediction, minConfidence: number): string | null {
  const { kind, name } = answerOf(prediction, minConfidence);
  return kind === "expression" ? colourOf(name, Object.keys(prediction.probabilities).indexOf(name)) : null;
}

/** Show the answer in large letters, with the confidence beside it. */
export function showAnswer(paragraph: HTMLElement, prediction: Prediction | null, minConfidence: number): void {
  const small = (text: string) => make("span", { className: "numeric" }, text);
  if (!prediction) return paragraph.replaceChildren(small(translate("no_face_now")));
  const [answer, probability] = answerParts(prediction, minConfidence);
  paragraph.replaceChildren(make("strong", {}, answer), " ", small(probability));
}

/** Show the detector's score; nothing without detection. */
export function showDetectionScore(paragraph: HTMLElement, prediction: Prediction | null): void {
  const score = prediction?.detection_score;
  paragraph.textContent = score === undefined ? "" : translate("detection_score", { score: percent(score) });
}

/** Show valence and arousal if the output was trained on votes. */
export function showDerived(details: HTMLElement, paragraph: HTMLElement, prediction: Prediction | null): void {
  const { derived_valence: valence, derived_arousal: arousal } = prediction ?? {};
  details.hidden = valence === undefined || arousal === undefined;
  if (valence === undefined || arousal === undefined) return;
  paragraph.textContent = translate("derived_values", { valence: decimal(valence), arousal: decimal(arousal) });
}

/** Whether the model's rule or the chosen limit leaves doubt about the answer. */
export function isInDoubt(prediction: Prediction, minConfidence: number): boolean {
  return prediction.in_doubt || answerOf(prediction, minConfidence).kind !== "expression";
}

/** "sad, fear or angry" */
function eitherText(names: string[]): string {
  const [last, ...others] = names.map(expression).reverse() as [string, ...string[]];
  return others.length ? translate("either", { others: others.reverse().join(", "), last }) : last;
}

/** The answer with its probability or share of people. */
function answerParts(prediction: Prediction, minConfidence: number): [string, string] {
  const { kind, name, probability, alternatives } = answerOf(prediction, minConfidence);
  const values = { expression: eitherText([name, ...alternatives]), probability: percent(probability) };
  const isUnsure = kind === "unsure";
  const share = areShares(prediction) ? translate("shares", values) : null;
  return [isUnsure ? translate("unsure") : values.expression, share ?? (isUnsure ? translate("perhaps", values) : values.probability)];
}

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
