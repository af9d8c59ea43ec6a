import type { GreyImage, RgbaImage } from "./image";

/**
 * ITU-R 601 luma in integers, as Pillow's convert("L") computes it. Alpha is ignored: the canvas that gives the pixels
 * has a white background.
 */
export function toGrey({ width, height, data }: RgbaImage): GreyImage {
  const grey = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < grey.length; at += 1, from += 4) {
    grey[at] = (data[from]! * 19595 + data[from + 1]! * 38470 + data[from + 2]! * 7471 + 0x8000) >> 16;
  }
  return { width, height, data: grey };
}
