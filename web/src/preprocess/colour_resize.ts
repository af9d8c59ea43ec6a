/**
 * Pillow's resize(BILINEAR, box, reducing_gap=1), crop and affine transform for 8-bit colour, so that the detector finds
 * the same faces as mien.faces.network. Resized values may differ by one level, because Pillow resizes some images
 * vertically first. Alpha has no meaning.
 */

import { type RgbaImage, roundHalfEven } from "./image";
import { filterWeights, PRECISION_BITS, TRIANGLE, type Weights } from "./resize";

/** Left, top, right and bottom in pixels; right and bottom are exclusive. */
export type Edges = [number, number, number, number];

/** Width and height of a copy whose longer side is `side` pixels. */
export function fitted({ width, height }: { width: number; height: number }, side: number): [number, number] {
  const scale = side / Math.max(width, height);
  return [Math.max(roundHalfEven(width * scale), 1), Math.max(roundHalfEven(height * scale), 1)];
}

/** Resize a part of an image: averaged over whole pixels, then with a triangle filter. */
export function resizeColour(image: RgbaImage, width: number, height: number, box: Edges = [0, 0, image.width, image.height]): RgbaImage {
  const [left, top, right, bottom] = box;
  const [wide, high] = [(right - left) / width, (bottom - top) / height];
  const [across, down] = [Math.max(Math.trunc(wide), 1), Math.max(Math.trunc(high), 1)];
  if (across === 1 && down === 1) return resample(image, width, height, box);
  // The part with the pixels beside it that the filter needs.
  const [x, y] = [Math.max(Math.trunc(left - wide / 2), 0), Math.max(Math.trunc(top - high / 2), 0)];
  const ends: [number, number] = [Math.min(Math.ceil(right + wide / 2), image.width), Math.min(Math.ceil(bottom + high / 2), image.height)];
  const inside: Edges = [(left - x) / across, (top - y) / down, (right - x) / across, (bottom - y) / down];
  return resample(reduce(image, across, down, [x, y, ...ends]), width, height, inside);
}

/** Cut out a square of whole pixels, black outside the image. */
export function crop(image: RgbaImage, left: number, top: number, side: number): RgbaImage {
  const data = new Uint8Array(4 * side * side);
  const [from, to] = [Math.max(left, 0), Math.min(left + side, image.width)];
  for (let row = Math.max(top, 0); row < Math.min(top + side, image.height) && from < to; row += 1) {
    const line = image.data.subarray(4 * (row * image.width + from), 4 * (row * image.width + to));
    data.set(line, 4 * ((row - top) * side + from - left));
  }
  return { width: side, height: side, data };
}

/** Extend an image, without scaling: each pixel of the result is the source pixel at `column(x)`, `row(y)`. */
export function extended(image: RgbaImage, width: number, height: number, column: (x: number) => number, row: (y: number) => number): RgbaImage {
  // Four bytes of each pixel as one number.
  const source = new Uint32Array(image.data.buffer, image.data.byteOffset, image.data.length / 4);
  const pixels = new Uint32Array(width * height);
  const columns = Array.from({ length: width }, (_, x) => column(x));
  for (let y = 0; y < height; y += 1) {
    const line = row(y) * image.width;
    for (let x = 0; x < width; x += 1) pixels[y * width + x] = source[line + columns[x]!]!;
  }
  return { width, height, data: new Uint8Array(pixels.buffer) };
}

/**
 * Transform with bilinear interpolation: the middle of pixel (x, y) shows the source's (a x + b y + c, d x + e y + f).
 * Black outside the source.
 */
export function transform(image: RgbaImage, width: number, height: number, [a, b, c, d, e, f]: [number, number, number, number, number, number]): RgbaImage {
  const result = blank(width, height);
  const within = (value: number, size: number) => Math.min(Math.max(value, 0), size - 1);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const u = a * (column + 0.5) + b * (row + 0.5) + c;
      const v = d * (column + 0.5) + e * (row + 0.5) + f;
      if (u < 0 || u >= image.width || v < 0 || v >= image.height) continue;
      const [x, y] = [Math.floor(u - 0.5), Math.floor(v - 0.5)];
      const [right, below] = [u - 0.5 - x, v - 0.5 - y];
      const [above, under] = [within(y, image.height) * image.width, within(y + 1, image.height) * image.width];
      const [near, far] = [within(x, image.width), within(x + 1, image.width)];
      for (let channel = 0; channel < 3; channel += 1) {
        const at = (line: number, place: number) => image.data[4 * (line + place) + channel]!;
        const upper = at(above, near) + (at(above, far) - at(above, near)) * right;
        const lower = at(under, near) + (at(under, far) - at(under, near)) * right;
        result.data[4 * (row * width + column) + channel] = Math.trunc(upper + (lower - upper) * below);
      }
    }
  }
  return result;
}

/** Replace each block of pixels by its mean; blocks at the right and below may be smaller. */
function reduce({ width: stride, data }: RgbaImage, across: number, down: number, [left, top, right, bottom]: Edges): RgbaImage {
  const result = blank(Math.ceil((right - left) / across), Math.ceil((bottom - top) / down));
  for (let row = 0; row < result.height; row += 1) {
    const [above, below] = [top + row * down, Math.min(top + (row + 1) * down, bottom)];
    for (let column = 0; column < result.width; column += 1) {
      const [from, to] = [left + column * across, Math.min(left + (column + 1) * across, right)];
      const count = (below - above) * (to - from);
      let red = count >> 1;
      let green = count >> 1;
      let blue = count >> 1;
      for (let y = above; y < below; y += 1) {
        for (let at = 4 * (y * stride + from); at < 4 * (y * stride + to); at += 4) {
          red += data[at]!;
          green += data[at + 1]!;
          blue += data[at + 2]!;
        }
      }
      // Pillow multiplies by 1 / count in fixed point.
      const share = Math.floor(Math.fround(2 ** 24 / count));
      const place = 4 * (row * result.width + column);
      result.data[place] = Math.floor((red * share) / 2 ** 24);
      result.data[place + 1] = Math.floor((green * share) / 2 ** 24);
      result.data[place + 2] = Math.floor((blue * share) / 2 ** 24);
    }
  }
  return result;
}

/** Resize with the triangle filter, horizontally and then vertically. */
function resample(image: RgbaImage, width: number, height: number, [left, top, right, bottom]: Edges): RgbaImage {
  const across = filterWeights(image.width, width, TRIANGLE, left, right);
  const down = filterWeights(image.height, height, TRIANGLE, top, bottom);
  // Only the rows that the second step uses.
  const first = down.starts[0]!;
  const rows = down.starts.at(-1)! + down.weights.at(-1)!.length - first;
  let data = image.data.subarray(4 * first * image.width);
  if (left || right !== image.width || width !== image.width) data = resampled(data, across, rows, [4 * image.width, 4], [4 * width, 4]);
  if (!top && bottom === image.height && height === image.height) return { width, height, data };
  down.starts = down.starts.map((start) => start - first);
  return { width, height, data: resampled(data, down, width, [4, 4 * width], [4, 4 * width]) };
}

type Data = RgbaImage["data"];

/** Apply weights along each of `lines`. `from` and `to` are the bytes between lines, and between the pixels of a line. */
function resampled(data: Data, { starts, weights }: Weights, lines: number, from: [number, number], to: [number, number]): Data {
  const half = 1 << (PRECISION_BITS - 1);
  const result = new Uint8Array(4 * lines * starts.length).fill(255);
  for (let index = 0; index < starts.length; index += 1) {
    const weight = weights[index]!;
    for (let at = 0; at < lines; at += 1) {
      let red = half;
      let green = half;
      let blue = half;
      let source = at * from[0] + starts[index]! * from[1];
      for (let each = 0; each < weight.length; each += 1, source += from[1]) {
        red += data[source]! * weight[each]!;
        green += data[source + 1]! * weight[each]!;
        blue += data[source + 2]! * weight[each]!;
      }
      const place = at * to[0] + index * to[1];
      result[place] = red >> PRECISION_BITS;
      result[place + 1] = green >> PRECISION_BITS;
      result[place + 2] = blue >> PRECISION_BITS;
    }
  }
  return result;
}

/** A black image. */
function blank(width: number, height: number): RgbaImage {
  return { width, height, data: new Uint8Array(new Uint32Array(width * height).fill(0xff000000).buffer) };
}
