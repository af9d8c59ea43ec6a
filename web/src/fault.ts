import type { Key } from "./words/words";

/** Why a source cannot be read, in words of the strings file; they may name it. */
export class Fault extends Error {
  constructor(readonly key: Key) {
    super(key);
  }
}
