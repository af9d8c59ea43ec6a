import type { DetectedFace } from "../faces/box";
import type { PredictedFace } from "./predictor";

/** A photo may have been given as a face crop, or a face crop as a photo. The rules are those of mien.faces.crop. */
export type CropHint = "crop_as_photo" | "photo_as_crop";

/** Longest side of face crops in the usual data sets; as in mien.faces.crop. */
export const CROP_PX = 224;

/** A face under this share of the image's shorter side is a face in a photo. */
export const SMALL_FACE = 0.4;

/** `detect` is called only for a large image that was taken as one face. */
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
