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
  const start = Math.floor((side - seen) / 2);
  /** The pixels of a square, as indices of the crop. */
  const square = (top: number, left: number, size: number) =>
    Array.from({ length: size * size }, (_, at) => (top + Math.floor(at / size)) * side + left + (at % size));
  const fill = roundHalfEven(square(start, start, seen).reduce((sum, pixel) => sum + crop[pixel]!, 0) / (seen * seen));
  const places = offsets(seen, patch, Math.max(Math.floor(patch / 2), 1));
  const patches = places.flatMap((down) => places.map((right) => square(start + down, start + right, patch)));
  const covered = patches.map((pixels) => {
    const copy = crop.slice();
    for (const pixel of pixels) copy[pixel] = fill;
    return copy;
  });
  const [uncovered, ...rest] = (await predict([crop, ...covered])).map(target);
  const drops = new Float32Array(side * side);
  const counts = new Float32Array(side * side);
  patches.forEach((pixels, index) => pixels.forEach((pixel) => {
    drops[pixel]! += uncovered! - rest[index]!;
    counts[pixel]! += 1;
  }));
  return drops.map((drop, index) => drop / Math.max(counts[index]!, 1));
}

/** Start positions of the patch along one side; the last patch touches the edge. */
function offsets(seen: number, patch: number, stride: number): number[] {
  const result: number[] = [];
  for (let offset = 0; offset < seen - patch; offset += stride) result.push(offset);
  return [...result, seen - patch];
}
