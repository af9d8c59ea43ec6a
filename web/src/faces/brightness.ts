import type { DecodedImage, Drawable, RgbaImage } from "../preprocess/image";

/** mien.faces.crop explains these constants. */
const WHITE_SHARE = 0.995;
const DARK_BELOW = 128;
const BLACK_BELOW = 8;
const STEP = 4;

/**
 * Copy an image to at most `side` pixels if it is larger; brighten a dark one until its brightest pixels are white.
 */
export function workingCopy(image: DecodedImage, side: number, canvas: OffscreenCanvas): Drawable {
  const white = whiteOf(image.pixels);
  if (white === null && Math.max(image.width, image.height) <= side) return image;
  const scale = Math.min(side / Math.max(image.width, image.height), 1);
  const [width, height] = [image.width, image.height].map((length) => Math.max(Math.round(length * scale), 1));
  canvas.width = width!;
  canvas.height = height!;
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(image.source, 0, 0, width!, height!);
  if (white !== null) {
    const copy = context.getImageData(0, 0, width!, height!);
    stretch(copy.data, white);
    context.putImageData(copy, 0, 0);
  }
  return { source: canvas, width: width!, height: height! };
}

/** Brighten a dark image until its brightest pixels are white; return any other unchanged. */
export function brightened(image: RgbaImage): RgbaImage {
  const white = whiteOf(image);
  if (white === null) return image;
  const data = Uint8ClampedArray.from(image.data);
  stretch(data, white);
  return { ...image, data };
}

/** In place. Uint8ClampedArray sets larger values to 255. */
function stretch(data: Uint8ClampedArray, white: number): void {
  for (let at = 0; at < data.length; at += 4) {
    for (let channel = at; channel < at + 3; channel += 1) data[channel] = Math.floor(data[channel]! * (255 / white));
  }
}

/** The level that becomes white in a dark image; null for any other. */
function whiteOf(image: RgbaImage): number | null {
  const white = Math.max(whiteLevel(image), BLACK_BELOW);
  return white < DARK_BELOW ? white : null;
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
