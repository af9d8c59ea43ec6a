/** The lines below the image: the status, and what went wrong. Sentences follow the language. */

import type { Problem } from "../errors";
import { element, setText } from "./elements";

export class Messages {
  #status: () => string = () => "";
  #problems: Problem[] = [];
  #permanent: Problem[] = [];

  /** Show a status. */
  show(status: () => string): void {
    this.#status = status;
    setText(element("status"), status());
  }

  /** Replace a status, unless another one has replaced it already. */
  replace(status: () => string, instead = () => ""): void {
    if (this.#status === status) this.show(instead);
  }

  /** Show a problem beside those that are shown already. */
  addProblem(problem: Problem): void {
    this.#problems.push(problem);
    this.#showProblems();
  }

  /** Show a problem for as long as the page is open. */
  addPermanentProblem(problem: Problem): void {
    this.#permanent.push(problem);
    this.#showProblems();
  }

  clearProblems(): void {
    this.#problems = [];
    this.#showProblems();
  }

  retranslate(): void {
    setText(element("status"), this.#status());
    this.#showProblems();
  }

  #showProblems(): void {
    showProblems([...this.#permanent, ...this.#problems]);
  }
}

/** The sentence of each problem, and its code. A problem that is shown already is not written again: a screen reader repeats it. */
export function showProblems(problems: Problem[]): void {
  const list = element("errors");
  const shown = [...list.children].map((each) => each.firstChild!.textContent);
  const sentences = problems.map(({ sentence }) => sentence());
  if (shown.length === sentences.length && shown.every((text, index) => text === sentences[index])) return;
  list.replaceChildren(...problems.map(({ code }, index) => makeProblem(code, sentences[index]!)));
}

function makeProblem(code: string, sentence: string): HTMLElement {
  const paragraph = document.createElement("p");
  const label = document.createElement("code");
  paragraph.dataset["code"] = code;
  label.textContent = `[${code}]`;
  label.setAttribute("aria-hidden", "true");
  paragraph.append(sentence, " ", label);
  return paragraph;
}
