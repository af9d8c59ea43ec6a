/**
 * Pillow's resize for 8-bit images, in fixed-point arithmetic: LANCZOS for grey face crops, and BILINEAR with
 * reducing_gap=1 for colour images, so that the detector finds the same faces as mien.faces.find. Colours may differ by
 * one level, because Pillow resizes some images vertically first. Alpha has no meaning.
 */

import type { GreyImage, RgbaImage } from "./image";

/** Weights are integer multiples of 1 / 2^22, as in Pillow. */
const PRECISION_BITS = 22;

/** A filter by the distance in pixels of the smaller image, and the distance at which it ends. */
interface Filter {
  reach: number;
  weight: (distance: number) => number;
}

const LANCZOS: Filter = { reach: 3, weight: (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0) };

const TRIANGLE: Filter = { reach: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) };

type Data = RgbaImage["data"];

export function resizeGrey(image: GreyImage, width: number, height: number): GreyImage {
  return { width, height, data: resample(image, width, height, 1, LANCZOS) as Uint8Array };
}

/** Average over whole pixels, then resize with a triangle filter. */
export function resizeColour(image: RgbaImage, width: number, height: number): RgbaImage {
  const [across, down] = [Math.trunc(image.width / width), Math.trunc(image.height / height)].map((factor) => Math.max(factor, 1)) as [number, number];
  const [wide, high] = [Math.ceil(image.width / across), Math.ceil(image.height / down)];
  const small = across * down === 1 ? image : { width: wide, height: high, data: reduced(image, across, down, wide, high) };
  // The last block may be smaller than the others.
  return { width, height, data: resample(small, width, height, 4, TRIANGLE, image.width / across, image.height / down) };
}

/** Replace each block of pixels by its mean. */
function reduced({ width, height, data }: RgbaImage, across: number, down: number, wide: number, high: number): Data {
  const result = new Uint8Array(4 * wide * high);
  let target = 0;
  for (let row = 0; row < high; row += 1) {
    const [above, below] = [row * down, Math.min((row + 1) * down, height)];
    for (let column = 0; column < wide; column += 1) {
      const [from, to] = [column * across, Math.min((column + 1) * across, width)];
      const count = (below - above) * (to - from);
      // Pillow multiplies by 1 / count in fixed point.
      const share = Math.floor(Math.fround(2 ** 24 / count)) / 2 ** 24;
      let [red, green, blue] = [count >> 1, count >> 1, count >> 1];
      for (let y = above; y < below; y += 1) {
        const end = 4 * (y * width + to);
        for (let at = 4 * (y * width + from); at < end; at += 4) {
          red += data[at]!;
          green += data[at + 1]!;
          blue += data[at + 2]!;
        }
      }
      result[target] = red * share;
      result[target + 1] = green * share;
      result[target + 2] = blue * share;
      target += 4;
    }
  }
  return result;
}

/** Resize the part from 0 to `right` and `bottom`, horizontally and then vertically. */
function resample({ width: oldWidth, height: oldHeight, data }: { width: number; height: number; data: Data }, width: number, height: number, channels: number, filter: Filter, right = oldWidth, bottom = oldHeight): Data {
  const line = channels * width;
  const wide = width === right ? data : resampled(data, weightsOf(oldWidth, width, filter, right), oldHeight, channels, [channels * oldWidth, channels], [line, channels]);
  return height === bottom ? wide : resampled(wide, weightsOf(oldHeight, height, filter, bottom), width, channels, [channels, line], [channels, line]);
}

/** For each pixel of the result: the index of the first source pixel, and the weights of it and the next ones. */
type Weights = { starts: number[]; weights: Int32Array[] };

/** Apply weights along each of `lines`. `from` and `to` are the values between lines, and between the pixels of a line. */
function resampled(data: Data, { starts, weights }: Weights, lines: number, channels: number, from: [number, number], to: [number, number]): Uint8Array {
  const result = new Uint8Array(channels * lines * starts.length);
  for (let index = 0; index < starts.length; index += 1) {
    const weight = weights[index]!;
    for (let at = 0; at < lines; at += 1) {
      // Alpha is left out.
      for (let channel = 0; channel < Math.min(channels, 3); channel += 1) {
        let source = at * from[0] + starts[index]! * from[1] + channel;
        let sum = 1 << (PRECISION_BITS - 1);
        for (let each = 0; each < weight.length; each += 1, source += from[1]) sum += data[source]! * weight[each]!;
        result[at * to[0] + index * to[1] + channel] = Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
      }
    }
  }
  return result;
}

/** The weights to resize the part from 0 to `high` of an image of `oldSize` pixels. */
function weightsOf(oldSize: number, newSize: number, filter: Filter, high: number): Weights {
  // Pillow's numbers of a part have 32 bits.
  const scale = Math.fround(high) / newSize;
  const stretch = Math.max(scale, 1);
  const starts: number[] = [];
  const weights: Int32Array[] = [];
  for (let index = 0; index < newSize; index += 1) {
    const centre = (index + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - filter.reach * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(centre + filter.reach * stretch + 0.5), oldSize);
    const values = Array.from({ length: end - start }, (_, at) => filter.weight((start + at - centre + 0.5) * (1 / stretch)));
    const sum = values.reduce((total, value) => total + value, 0);
    starts.push(start);
    weights.push(Int32Array.from(values, (value) => Math.round((value / sum) * (1 << PRECISION_BITS))));
  }
  return { starts, weights };
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
