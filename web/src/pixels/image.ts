/** Pixels, row by row from the top left, 0..255. */

/** Red, green, blue, alpha of each pixel; what a canvas gives is one. */
export interface Colours {
  width: number;
  height: number;
  data: Uint8ClampedArray | Uint8Array;
}

/** One number a pixel. */
export interface Grey {
  width: number;
  height: number;
  data: Uint8Array;
}

/** Python's round(): a half goes to the even neighbour. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
