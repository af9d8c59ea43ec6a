import type { Scheme } from "./readings/schemes";

/** What the user has chosen about how readings are shown. */
export interface Settings {
  scheme: Scheme;
  /** Below this confidence, 0..1, the page says "unsure". */
  least: number;
  mirror: boolean;
}
