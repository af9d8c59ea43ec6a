import type { DetectedFace } from "../faces/box";
import type { PredictedFace } from "./predictor";

/** Detects photos given as face crops, and the reverse, by the rules of mien.faces.crop. */
export type CropHint = "crop_as_photo" | "photo_as_crop";

/** Largest side of face crops in common data sets, as in mien.faces.crop. */
export const CROP_PX = 224;

/** If a face is below this fraction of the image's shorter side, the image is a photo. */
export const SMALL_FACE = 0.4;

/** This calls `detect` only for a large image that was treated as a face crop. */
export async function cropHint(
  { width, height }: { width: number; height: number },
  faces: Pick<PredictedFace, "box">[],
  detect: () => Promise<DetectedFace[]>,
): Promise<CropHint | null> {
  const [longest, shortest] = [Math.max(width, height), Math.min(width, height)];
  if (!faces.length) return longest <= CROP_PX / (longest === shortest ? 1 : 2) && longest < 2 * shortest ? "crop_as_photo" : null;
  const isWhole = faces.every(({ box }) => !box);
  if (!isWhole || longest <= CROP_PX) return null;
  const largest = (await detect())[0]?.box;
  const isSmall = largest && Math.max(largest.width, largest.height) < SMALL_FACE * Math.min(width, height);
  return isSmall ? "photo_as_crop" : null;
}
