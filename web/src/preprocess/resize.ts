/**
 * Pillow's resize(BILINEAR) for 8-bit grey, bit for bit: a triangle filter as wide as a new pixel (so that fine stripes
 * do not alias), first horizontally, then vertically, in fixed-point arithmetic.
 */

import type { GreyImage } from "./image";

/** Weights are integer multiples of 1 / 2^22, as in Pillow. */
const PRECISION_BITS = 22;

/** For each new pixel: the first old pixel that it uses, and the weight of each. */
interface Weights {
  starts: number[];
  weights: Int32Array[];
}

export function resize(image: GreyImage, width: number, height: number): GreyImage {
  const wide = width === image.width ? image : resizeWidth(image, width);
  if (height === wide.height) return wide;
  return transpose(resizeWidth(transpose(wide), height));
}

function resizeWidth(image: GreyImage, width: number): GreyImage {
  const { starts, weights } = filterWeights(image.width, width);
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

function filterWeights(oldSize: number, newSize: number): Weights {
  const scale = oldSize / newSize;
  const reach = Math.max(scale, 1);
  const starts: number[] = [];
  const weights: Int32Array[] = [];
  for (let index = 0; index < newSize; index += 1) {
    const centre = (index + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), oldSize);
    const triangle: number[] = [];
    for (let at = start; at < end; at += 1) {
      triangle.push(Math.max(1 - Math.abs((at - centre + 0.5) * (1 / reach)), 0));
    }
    const sum = triangle.reduce((total, value) => total + value, 0);
    starts.push(start);
    weights.push(Int32Array.from(triangle, (value) => Math.trunc(0.5 + (value / sum) * (1 << PRECISION_BITS))));
  }
  return { starts, weights };
}

function transpose({ width, height, data }: GreyImage): GreyImage {
  const turned = new Uint8Array(data.length);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) turned[column * height + row] = data[row * width + column]!;
  }
  return { width: height, height: width, data: turned };
}
