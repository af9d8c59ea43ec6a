import type { Key } from "./locales/translate";

type CodeOf<Sentence> = Sentence extends `error.${infer Code}` ? Code : never;

/** Codes of the page's errors. They never change, so that tests and bug reports can name an error in any language. */
export type ErrorCode = CodeOf<Key>;

/** A source that cannot be used. The error's sentence can name the source. */
export class PageError extends Error {
  constructor(readonly code: ErrorCode) {
    super(code);
  }
}

export function reasonOf(error: unknown): string {
  return String((error as Error).message ?? error);
}
