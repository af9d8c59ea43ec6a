/**
 * Pillow's resize(LANCZOS) for 8-bit grey: Lanczos's filter over three pixels of the smaller image on
 * either side, which avoids aliasing. The filter runs horizontally, then vertically, in fixed-point arithmetic.
 */

import type { GreyImage } from "./image";

/** Weights are integer multiples of 1 / 2^22, as in Pillow. */
export const PRECISION_BITS = 22;

/** A filter by the distance in pixels of the smaller image, and the distance at which it ends. */
interface Filter {
  reach: number;
  weight: (distance: number) => number;
}

/** Half of Lanczos's filter, in pixels of the smaller image. */
const LOBES = 3;

const LANCZOS: Filter = { reach: LOBES, weight: lanczos };

export const TRIANGLE: Filter = { reach: 1, weight: (distance) => Math.max(1 - Math.abs(distance), 0) };

/** For each pixel of the result: the index of the first source pixel, and the weights of it and the next ones. */
export interface Weights {
  starts: number[];
  weights: Int32Array[];
}

export function resize(image: GreyImage, width: number, height: number): GreyImage {
  const wide = width === image.width ? image : resizeWidth(image, width);
  if (height === wide.height) return wide;
  return transpose(resizeWidth(transpose(wide), height));
}

function resizeWidth(image: GreyImage, width: number): GreyImage {
  const { starts, weights } = filterWeights(image.width, width, LANCZOS);
  const data = new Uint8Array(width * image.height);
  for (let row = 0; row < image.height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const weight = weights[column]!;
      const from = row * image.width + starts[column]!;
      let sum = 1 << (PRECISION_BITS - 1);
      for (let step = 0; step < weight.length; step += 1) sum += image.data[from + step]! * weight[step]!;
      data[row * width + column] = Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
    }
  }
  return { width, height: image.height, data };
}

/** The weights to resize the part from `low` to `high` of an image of `oldSize` pixels. */
export function filterWeights(oldSize: number, newSize: number, filter: Filter, low = 0, high = oldSize): Weights {
  // Pillow's numbers of a part have 32 bits.
  const first = Math.fround(low);
  const scale = Math.fround(Math.fround(high) - first) / newSize;
  const stretch = Math.max(scale, 1);
  const reach = filter.reach * stretch;
  const starts: number[] = [];
  const weights: Int32Array[] = [];
  for (let index = 0; index < newSize; index += 1) {
    const centre = first + (index + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), oldSize);
    const values: number[] = [];
    for (let at = start; at < end; at += 1) values.push(filter.weight((at - centre + 0.5) * (1 / stretch)));
    const sum = values.reduce((total, value) => total + value, 0);
    starts.push(start);
    weights.push(Int32Array.from(values, (value) => Math.round((value / sum) * (1 << PRECISION_BITS))));
  }
  return { starts, weights };
}

function lanczos(x: number): number {
  return -LOBES <= x && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

function transpose({ width, height, data }: GreyImage): GreyImage {
  const turned = new Uint8Array(data.length);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) turned[column * height + row] = data[row * width + column]!;
  }
  return { width: height, height: width, data: turned };
}
