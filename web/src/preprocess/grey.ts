import type { GreyImage, RgbaImage } from "./image";

/** The grey form of an image. Alpha is ignored: the canvas that gives the pixels has a white background. */
export function toGrey({ width, height, data }: RgbaImage): GreyImage {
  const grey = new Uint8Array(width * height);
  for (let at = 0; at < grey.length; at += 1) grey[at] = luma(data, 4 * at);
  return { width, height, data: grey };
}

/** ITU-R 601 luma in integers, as Pillow's convert("L") computes it, of the pixel that starts there. */
export function luma(data: RgbaImage["data"], at: number): number {
  return (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
}
