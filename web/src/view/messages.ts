/** The lines below the image: the status and errors. Their sentences change with the language. */

import type { Problem } from "../errors";
import { translate } from "../locales/translate";
import { element, make, setText } from "./elements";

export class Messages {
  #status: () => string = () => "";
  #problems: Problem[] = [];

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

  /** Remove the problems, except that without its networks the page can do nothing. */
  clearProblems(): void {
    this.#problems = this.#problems.filter(({ code }) => code === "load-failed");
    this.#showProblems();
  }

  retranslate(): void {
    setText(element("status"), this.#status());
    this.#showProblems();
  }

  #showProblems(): void {
    showProblems(this.#problems);
  }
}

/** Number of problems with the same code that are shown; the others are counted. */
const FEW = 10;

/** Show each problem's sentence and code in a list. A problem that is shown is not written again, because screen readers
 * would repeat it.
 */
export function showProblems(problems: Problem[], into: "errors" | "teach-errors" = "errors"): void {
  const list = element(into);
  const counts = new Map<string, number>();
  const shown = problems.filter(({ code }) => {
    const count = (counts.get(code) ?? 0) + 1;
    counts.set(code, count);
    return count <= FEW;
  });
  shown.forEach(({ code, sentence }, at) => {
    const [text, before] = [sentence(), list.children[at]];
    if (before?.firstChild!.textContent === text) return;
    const problem = make("p", {}, text, " ", make("code", { ariaHidden: "true" }, `[${code}]`));
    problem.dataset["code"] = code;
    if (before) before.replaceWith(problem);
    else list.append(problem);
  });
  while (list.children.length > shown.length) list.lastElementChild!.remove();
  const more = problems.length - shown.length;
  setText(element(`more-${into}`), more ? translate("more_errors", { count: more }) : "");
}
