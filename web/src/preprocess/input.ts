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
