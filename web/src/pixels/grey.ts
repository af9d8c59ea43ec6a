import type { Colours, Grey } from "./image";

/**
 * ITU-R 601 luma in whole numbers, as Pillow's convert("L") has it. Alpha is not looked at: pictures are laid on white
 * when they are drawn on the canvas that gives the pixels.
 */
export function toGrey({ width, height, data }: Colours): Grey {
  const grey = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < grey.length; at += 1, from += 4) {
    grey[at] = (data[from]! * 19595 + data[from + 1]! * 38470 + data[from + 2]! * 7471 + 0x8000) >> 16;
  }
  return { width, height, data: grey };
}
