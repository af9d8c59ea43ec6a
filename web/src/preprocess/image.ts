/** Types of images in the page. Pixels are row by row from the top left, 0..255. */

/** Red, green, blue and alpha of each pixel, such as a canvas's ImageData. */
export interface RgbaImage {
  width: number;
  height: number;
  data: Uint8ClampedArray | Uint8Array;
}

/** A grey image: one value for each pixel. */
export interface GreyImage {
  width: number;
  height: number;
  data: Uint8Array;
}

/** An image that can be drawn, and its pixels. */
export interface DecodedImage {
  source: CanvasImageSource;
  width: number;
  height: number;
  pixels: RgbaImage;
}

/** Python's round(): halves are rounded to the even neighbour. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

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
