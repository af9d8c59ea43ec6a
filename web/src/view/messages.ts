/** The lines below the image: the status and errors. Their sentences change with the language. */

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

  /** Replace a status, unless another one has already replaced it. */
  replace(status: () => string, instead = () => ""): void {
    if (this.#status === status) this.show(instead);
  }

  /** Show another problem, below those that are shown. */
  addProblem(problem: Problem): void {
    this.#problems.push(problem);
    this.#showProblems();
  }

  /** Show a problem permanently. */
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

/** Show each problem's sentence and code. A problem that is shown is not written again, because screen readers would
 * repeat it.
 */
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
