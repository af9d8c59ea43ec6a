/** Errors of the page. Each error has a stable code; its sentence is `error.CODE` in the locale files. */

import { type Key, translate } from "./locales/translate";
import { reasonOf } from "./model/download";
import { PageError } from "./page_error";

type CodeOf<Sentence> = Sentence extends `error.${infer Code}` ? Code : never;

/** Codes never change, so that tests and bug reports can name an error in any language. */
export type ErrorCode = CodeOf<Key>;

/** An error to show. The sentence changes with the language. */
export interface Problem {
  code: ErrorCode;
  sentence: () => string;
}

export function problem(code: ErrorCode, values: () => Record<string, string> = () => ({})): Problem {
  return { code, sentence: () => translate(`error.${code}`, values()) };
}

/** Return the problem to show for a source that failed. Any error that is not a PageError came from a failed
 * prediction.
 */
export function problemWith(name: string, error: unknown): Problem {
  const code = error instanceof PageError ? error.code : "prediction-failed";
  return problem(code, () => ({ name, reason: reasonOf(error) }));
}
