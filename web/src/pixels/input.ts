import type { InputSpec } from "../model/manifest";

/**
 * What the network sees of some squares, as mien.preprocess.to_input makes it: the central crop as
 * (pixel / 255 - mean) / std. Returns squares.length * crop_px * crop_px numbers.
 */
export function toInput(squares: Uint8Array[], spec: InputSpec): Float32Array {
  const { size_px: side, crop_px: crop } = spec;
  const start = Math.floor((side - crop) / 2);
  // In single precision from step to step, as numpy works them out.
  const mean = Math.fround(255 * spec.mean);
  const factor = Math.fround(1 / (255 * spec.std));
  const input = new Float32Array(squares.length * crop * crop);
  let at = 0;
  for (const square of squares) {
    for (let row = start; row < start + crop; row += 1) {
      for (let column = start; column < start + crop; column += 1) {
        input[at] = Math.fround(square[row * side + column]! - mean) * factor;
        at += 1;
      }
    }
  }
  return input;
}
