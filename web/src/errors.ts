/** Errors as the page shows them. The sentence of a code is `error.CODE` in the locale files. */

import { translate } from "./locales/translate";
import { type ErrorCode, PageError, reasonOf } from "./page_error";

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
