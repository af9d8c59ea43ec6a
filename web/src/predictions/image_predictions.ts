import type { CropHint } from "./crop_hints";
import type { PredictedFace } from "./predictor";

/** A face with its number: 1 is the largest face of an image; in a video a face keeps its number. */
export interface NumberedFace extends PredictedFace {
  number: number;
  /** A small picture of the face, in the list of images. */
  thumbnail?: OffscreenCanvas;
}

/** The faces of one image or frame, with their probabilities. */
export interface ImagePredictions {
  source: string;
  width: number;
  height: number;
  faces: NumberedFace[];
  /** Only for an image that was shown. */
  hint?: CropHint | null;
}
