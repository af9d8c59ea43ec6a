/** What is on the screen: the faces that were read in one picture or frame. */

import type { Box } from "./faces/box";

export interface SeenFace {
  /** 1 is the largest face of a picture; in a video a face keeps its number. */
  number: number;
  box: Box | null;
  square: Uint8Array;
  shares: number[];
}

export interface Seen {
  source: string;
  width: number;
  height: number;
  faces: SeenFace[];
}
