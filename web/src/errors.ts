/** What can go wrong on the page. Each error has a stable code; its sentence is `error.CODE` in the locale files. */

import { type Key, translate } from "./locales/translate";
import { reasonOf } from "./model/download";

type CodeOf<Sentence> = Sentence extends `error.${infer Code}` ? Code : never;

/** Codes never change, so that tests and bug reports can name an error in any language. */
export type ErrorCode = CodeOf<Key>;

/** A source that cannot be used. Its sentence can name the source. */
export class PageError extends Error {
  constructor(readonly code: ErrorCode) {
    super(code);
  }
}

/** An error to show: its sentence follows the language. */
export interface Problem {
  code: ErrorCode;
  sentence: () => string;
}

export function problem(code: ErrorCode, values: () => Record<string, string> = () => ({})): Problem {
  return { code, sentence: () => translate(`error.${code}`, values()) };
}

/** Why a source failed. Any error that is no PageError is a prediction that failed. */
export function problemWith(name: string, error: unknown): Problem {
  const code = error instanceof PageError ? error.code : "prediction-failed";
  return problem(code, () => ({ name, reason: reasonOf(error) }));
}
