import { type GreyImage, roundHalfEven } from "./image";
import { resizeGrey } from "./resize";

/** Specification of the model's input; see mien.base.preprocess.InputSpec. */
export interface InputSpec {
  size_px: number;
  crop_px: number;
  mean: number;
  std: number;
  /** 3 means colour, which the page does not support. */
  channels?: number;
}

/**
 * Compute the network's input from face crops, like mien.base.preprocess.to_input: the central crop_px of each as
 * (pixel / 255 - mean) / std. Returns crops.length * crop_px * crop_px values.
 */
export function toInput(crops: Uint8Array[], spec: InputSpec): Float32Array {
  const { size_px: side, crop_px: centre } = spec;
  const start = Math.floor((side - centre) / 2);
  // Use single precision in every step, like numpy.
  const mean = Math.fround(255 * spec.mean);
  const factor = Math.fround(1 / (255 * spec.std));
  const input = new Float32Array(crops.length * centre * centre);
  let at = 0;
  for (const crop of crops) {
    for (let row = start; row < start + centre; row += 1) {
      for (let column = start; column < start + centre; column += 1) {
        input[at] = Math.fround(crop[row * side + column]! - mean) * factor;
        at += 1;
      }
    }
  }
  return input;
}

/**
 * Make the grey face crop for a model, like mien.base.preprocess: resize until the longer side fits, then pad with
 * border pixels. Returns side * side values.
 */
export function toFaceCrop(image: GreyImage, side: number): Uint8Array {
  const longer = Math.max(image.width, image.height);
  const fitted = (length: number) => Math.max(roundHalfEven((length * side) / longer), 1);
  const small = longer === side ? image : resizeGrey(image, fitted(image.width), fitted(image.height));
  return padded(small, side);
}

function padded({ width, height, data }: GreyImage, side: number): Uint8Array {
  const above = Math.floor((side - height) / 2);
  const before = Math.floor((side - width) / 2);
  const crop = new Uint8Array(side * side);
  for (let row = 0; row < side; row += 1) {
    const from = Math.min(Math.max(row - above, 0), height - 1) * width;
    for (let column = 0; column < side; column += 1) {
      crop[row * side + column] = data[from + Math.min(Math.max(column - before, 0), width - 1)]!;
    }
  }
  return crop;
}
