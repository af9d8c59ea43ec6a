import type { ErrorCode } from "./errors";

/** A source that cannot be used. The error's sentence can name the source. */
export class PageError extends Error {
  constructor(readonly code: ErrorCode) {
    super(code);
  }
}
