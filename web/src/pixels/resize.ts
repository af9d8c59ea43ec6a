/**
 * Pillow's resize(BILINEAR) of 8-bit grey, bit for bit: a triangle filter as wide as a new pixel (which is what keeps
 * fine stripes from flickering), first across, then down, in fixed-point numbers.
 */

import type { Grey } from "./image";

/** Weights are whole multiples of 1 / 2^22, as in Pillow. */
const PRECISION_BITS = 22;

/** For each new pixel: where its old pixels begin, and how much each counts. */
interface Weights {
  starts: number[];
  shares: Int32Array[];
}

export function resize(image: Grey, width: number, height: number): Grey {
  const across = width === image.width ? image : resizeAcross(image, width);
  if (height === across.height) return across;
  return transpose(resizeAcross(transpose(across), height));
}

function resizeAcross(image: Grey, width: number): Grey {
  const { starts, shares } = weights(image.width, width);
  const data = new Uint8Array(width * image.height);
  for (let row = 0; row < image.height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const share = shares[column]!;
      const from = row * image.width + starts[column]!;
      let sum = 1 << (PRECISION_BITS - 1);
      for (let step = 0; step < share.length; step += 1) sum += image.data[from + step]! * share[step]!;
      data[row * width + column] = Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
    }
  }
  return { width, height: image.height, data };
}

function weights(oldSize: number, newSize: number): Weights {
  const scale = oldSize / newSize;
  const reach = Math.max(scale, 1);
  const starts: number[] = [];
  const shares: Int32Array[] = [];
  for (let index = 0; index < newSize; index += 1) {
    const centre = (index + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), oldSize);
    const triangle: number[] = [];
    for (let at = start; at < end; at += 1) {
      triangle.push(Math.max(1 - Math.abs((at - centre + 0.5) * (1 / reach)), 0));
    }
    const sum = triangle.reduce((total, share) => total + share, 0);
    starts.push(start);
    shares.push(Int32Array.from(triangle, (share) => Math.trunc(0.5 + (share / sum) * (1 << PRECISION_BITS))));
  }
  return { starts, shares };
}

function transpose({ width, height, data }: Grey): Grey {
  const turned = new Uint8Array(data.length);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) turned[column * height + row] = data[row * width + column]!;
  }
  return { width: height, height: width, data: turned };
}
