import type { GreyImage, RgbaImage } from "./image";

/** Convert an image to grey. Alpha is ignored, because the canvas has a white background. */
export function toGrey({ width, height, data }: RgbaImage): GreyImage {
  const grey = new Uint8Array(width * height);
  for (let at = 0; at < grey.length; at += 1) grey[at] = luma(data, 4 * at);
  return { width, height, data: grey };
}

/** ITU-R 601 luma in integers, like Pillow's convert("L"), of the pixel at this index. */
export function luma(data: RgbaImage["data"], at: number): number {
  return (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
}
