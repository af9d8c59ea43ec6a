import type { RgbaImage } from "../preprocess/image";

/** mien.faces.crop explains these constants. */
const WHITE_SHARE = 0.995;
const DARK_BELOW = 128;
const BLACK_BELOW = 8;
const STEP = 4;

/** Brighten a dark image until its brightest pixels are white; return any other unchanged. */
export function brightened(image: RgbaImage): RgbaImage {
  const white = Math.max(whiteLevel(image), BLACK_BELOW);
  if (white >= DARK_BELOW) return image;
  // Uint8ClampedArray sets larger values to 255. Alpha is 255 and stays.
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, level) => Math.floor(level * (255 / white)));
  // Not {...image}: the size of a canvas's ImageData is no property of its own.
  const data = new Uint8Array(image.data.length);
  // Not map(): a call for each value takes five times as long.
  for (let at = 0; at < data.length; at += 1) data[at] = levels[image.data[at]!]!;
  return { width: image.width, height: image.height, data };
}

/** The level that 99.5% of a sample of the pixels do not exceed. */
function whiteLevel({ data, width, height }: RgbaImage): number {
  const counts = new Uint32Array(256);
  let total = 0;
  for (let row = 0; row < height; row += STEP) {
    for (let column = 0; column < width; column += STEP) {
      const at = (row * width + column) * 4;
      for (let channel = at; channel < at + 3; channel += 1) counts[data[channel]!]! += 1;
      total += 3;
    }
  }
  let level = 0;
  for (let below = counts[0]!; below < WHITE_SHARE * total; below += counts[level]!) level += 1;
  return level;
}
