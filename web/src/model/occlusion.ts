/** As mien.explain.occlusion: cover a part of the face and see how much of the class's probability goes. */

import { roundHalfEven } from "../pixels/image";

export type Predict = (squares: Uint8Array[]) => Promise<number[][]>;

/**
 * A patch of the face's own mean grey slides over it; a pixel's value is the mean drop while it was covered.
 * Zeiler & Fergus, ECCV 2014, section 4.2.
 *
 * `probability` turns a face's probabilities into the number whose drop counts. Returns side * side numbers in -1..1.
 */
export async function occlusion(
  predict: Predict,
  square: Uint8Array,
  side: number,
  crop: number,
  probability: (shares: number[]) => number,
): Promise<Float32Array> {
  const patch = Math.max(Math.floor(crop / 6), 1);
  const stride = Math.max(Math.floor(patch / 2), 1);
  const start = Math.floor((side - crop) / 2);
  const fill = meanOfCrop(square, side, crop, start);
  const corners = offsets(crop, patch, stride).flatMap((down) =>
    offsets(crop, patch, stride).map((across) => [start + down, start + across] as const),
  );
  const answers = await predict([square, ...corners.map((corner) => covered(square, side, corner, patch, fill))]);
  const [whole, ...rest] = answers.map(probability);
  const drops = new Float32Array(side * side);
  const times = new Float32Array(side * side);
  corners.forEach(([top, left], index) => {
    for (let row = top; row < top + patch; row += 1) {
      for (let column = left; column < left + patch; column += 1) {
        drops[row * side + column]! += whole! - rest[index]!;
        times[row * side + column]! += 1;
      }
    }
  });
  return drops.map((drop, index) => drop / Math.max(times[index]!, 1));
}

/** Where the patch begins along one side; the last one touches the edge. */
function offsets(crop: number, patch: number, stride: number): number[] {
  const result: number[] = [];
  for (let offset = 0; offset < crop - patch; offset += stride) result.push(offset);
  return [...result, crop - patch];
}

function covered(
  square: Uint8Array,
  side: number,
  [top, left]: readonly [number, number],
  patch: number,
  fill: number,
): Uint8Array {
  const copy = square.slice();
  for (let row = top; row < top + patch; row += 1) copy.fill(fill, row * side + left, row * side + left + patch);
  return copy;
}

function meanOfCrop(square: Uint8Array, side: number, crop: number, start: number): number {
  let sum = 0;
  for (let row = start; row < start + crop; row += 1) {
    for (let column = start; column < start + crop; column += 1) sum += square[row * side + column]!;
  }
  return roundHalfEven(sum / (crop * crop));
}
