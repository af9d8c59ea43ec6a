/** Covers parts of the face and measures the drop of a class's probability, as mien.explanation.explainer. */

import { roundHalfEven } from "../preprocess/image";

/**
 * A patch in the mean grey of the face slides over it. A pixel's value is the mean drop of the probability while the
 * pixel was covered. Zeiler & Fergus, ECCV 2014, section 4.2.
 *
 * `crop` is a grey face crop of side * side values; the model sees the central `seen` * `seen`. `target` selects the
 * probability to measure. Returns side * side values in -1..1.
 */
export async function occlusion<Probabilities>(
  predict: (crops: Uint8Array[]) => Promise<Probabilities[]>,
  crop: Uint8Array,
  side: number,
  seen: number,
  target: (probabilities: Probabilities) => number,
): Promise<Float32Array> {
  const patch = Math.max(Math.floor(seen / 6), 1);
  const stride = Math.max(Math.floor(patch / 2), 1);
  const start = Math.floor((side - seen) / 2);
  const fill = meanOfCentre(crop, side, seen, start);
  const corners = offsets(seen, patch, stride).flatMap((down) =>
    offsets(seen, patch, stride).map((right) => [start + down, start + right] as const),
  );
  const rows = await predict([crop, ...corners.map((corner) => covered(crop, side, corner, patch, fill))]);
  const [uncovered, ...rest] = rows.map(target);
  const drops = new Float32Array(side * side);
  const counts = new Float32Array(side * side);
  corners.forEach(([top, left], index) => {
    for (let row = top; row < top + patch; row += 1) {
      for (let column = left; column < left + patch; column += 1) {
        drops[row * side + column]! += uncovered! - rest[index]!;
        counts[row * side + column]! += 1;
      }
    }
  });
  return drops.map((drop, index) => drop / Math.max(counts[index]!, 1));
}

/** Start positions of the patch along one side; the last patch touches the edge. */
function offsets(seen: number, patch: number, stride: number): number[] {
  const result: number[] = [];
  for (let offset = 0; offset < seen - patch; offset += stride) result.push(offset);
  return [...result, seen - patch];
}

function covered(
  crop: Uint8Array,
  side: number,
  [top, left]: readonly [number, number],
  patch: number,
  fill: number,
): Uint8Array {
  const copy = crop.slice();
  for (let row = top; row < top + patch; row += 1) copy.fill(fill, row * side + left, row * side + left + patch);
  return copy;
}

function meanOfCentre(crop: Uint8Array, side: number, seen: number, start: number): number {
  let sum = 0;
  for (let row = start; row < start + seen; row += 1) {
    for (let column = start; column < start + seen; column += 1) sum += crop[row * side + column]!;
  }
  return roundHalfEven(sum / (seen * seen));
}
