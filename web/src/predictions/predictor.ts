/** Predicts the probabilities of an image's faces: detect, crop, classify. */

import { type Box, clipped, type DetectedFace, type Landmarks } from "../faces/box";
import { brightened, cut, SHARP, sharpness, type Square, squareAround } from "../faces/crop";
import { Detector } from "../faces/detector";
import { Classifier } from "../model/classifier";
import { LoadError } from "../model/download";
import { type Manifest, seesMirrored } from "../model/manifest";
import { mixed, type Probabilities } from "../heads/votes";
import { reasonOf } from "../page_error";
import { toFaceCrop } from "../preprocess/input";
import { type DecodedImage, toGrey } from "../preprocess/image";

export interface PredictedFace {
  /** null if the whole image is the face crop. */
  box: Box | null;
  /** Score of the detector, 0..1; null without detection: for a drawn box or the whole image. */
  score: number | null;
  /** For a detected face, in pixels of the image. */
  landmarks?: Landmarks | undefined;
  /** The square that was cropped, unless the whole image was used. */
  square?: Square;
  /** The grey face crop that the model saw: size_px * size_px values, 0..255. */
  crop: Uint8Array;
  /** Whether a detected face is too blurred or too small to trust the answer. */
  blurred?: boolean;
  probabilities: Probabilities;
}

/** Predicts the faces of a video's next frame. `known` are the boxes of faces in earlier frames. */
type FramePredictor = (frame: DecodedImage, known: Box[], seconds: number) => Promise<PredictedFace[]>;

export class Predictor {
  private constructor(
    /** The model that is used from now on. */
    public model: Classifier,
    readonly detector: Detector,
  ) {}

  /** Load the detector and the model at this address. Throws LoadError. */
  static async load(address: URL, manifest?: Promise<Manifest>): Promise<Predictor> {
    try {
      const [classifier, detector] = await Promise.all([Classifier.load(address, manifest), Detector.load()]);
      return new Predictor(classifier, detector);
    } catch (error) {
      throw new LoadError(reasonOf(error));
    }
  }

  /** Free the memory of the networks. */
  async dispose(): Promise<void> {
    await Promise.all([this.model.dispose(), this.detector.dispose()]);
  }

  get manifest(): Manifest {
    return this.model.manifest;
  }

  /** Predict the faces of a still image, the largest first, followed by boxes drawn by the user. */
  async predictImage(image: DecodedImage, drawn: Box[]): Promise<PredictedFace[]> {
    const found = await this.detector.detectInImage(image);
    return this.#predictFaces(image, [...found, ...drawn.map((box) => ({ box, score: null }))]);
  }

  /** Start a camera (live) or video file. Returns a function that predicts the faces of its next frame, the largest first. */
  startVideo(isLive: boolean): FramePredictor {
    const detect = this.detector.startVideo(isLive);
    let frames = 0;
    return async (frame, known, seconds) => {
      const faces = await detect(frame, known, seconds);
      if (!isLive) return this.#predictFaces(frame, faces);
      // Alternate plain and mirrored views, which the tracker averages over time: this halves the cost.
      frames += 1;
      return this.#predictFaces(frame, faces, [frames % 2 ? "plain" : "mirrored"]);
    };
  }

  /** Predict a face in a box chosen by the user. */
  async predictBox(image: DecodedImage, box: Box): Promise<PredictedFace> {
    const [face] = await this.#predictFaces(image, [{ box, score: null }]);
    return face!;
  }

  /** Predict an image that is a face crop, without detection. */
  async predictCrop(image: DecodedImage): Promise<PredictedFace[]> {
    const crop = toFaceCrop(toGrey(image.pixels), this.manifest.input.size_px);
    const [probabilities] = await this.model.probabilities([crop]);
    return [{ box: null, score: null, crop, probabilities: probabilities! }];
  }

  /**
   * Like Python's FaceReader: a face in a photograph is classified together with its mirror image, unless the model was
   * trained without mirrored faces.
   */
  async #predictFaces(image: DecodedImage, faces: Given[], wanted: View[] = ["plain", "mirrored"]): Promise<PredictedFace[]> {
    if (!faces.length) return [];
    const views: View[] = seesMirrored(this.manifest) ? wanted : ["plain"];
    const side = this.manifest.input.size_px;
    const pixels = brightened(image.pixels);
    const squares = faces.map(({ box, landmarks }) => squareAround(box, landmarks));
    const crops = squares.map((square) => toFaceCrop(cut(pixels, square), side));
    const seen = views.flatMap((view) => (view === "plain" ? crops : crops.map((crop) => mirrored(crop, side))));
    const rows = await this.model.probabilities(seen);
    return faces.map(({ box, score, landmarks }, index) => {
      const probabilities = mixed(rows[index]!, rows.at(index - crops.length)!, 0.5);
      // Keep a drawn box's object, because the gallery identifies the box by it.
      const inside = score === null ? box : clipped(box, image.width, image.height);
      const crop = crops[index]!;
      const blurred = score !== null && sharpness(crop, side) < SHARP;
      return { box: inside, score, landmarks, square: squares[index]!, crop, blurred, probabilities };
    });
  }
}

/** A detected face, or a box drawn by the user. */
type Given = Omit<DetectedFace, "score"> & { score: number | null };

type View = "plain" | "mirrored";

/** The mirror image of a face crop of side * side values. */
export function mirrored(crop: Uint8Array, side: number): Uint8Array {
  return crop.map((_, at) => crop[at - (at % side) + (side - 1 - (at % side))]!);
}

/** A face with its number: 1 is the largest face of an image; in a video a face keeps its number. */
export interface NumberedFace extends PredictedFace {
  number: number;
  /** A small picture of the face, in the list of images. */
  thumbnail?: OffscreenCanvas;
}

/** A photo that was given as a face crop, or the reverse. */
export type CropHint = "crop_as_photo" | "photo_as_crop";

/** The faces of one image or frame, with their probabilities. */
export interface ImagePredictions {
  source: string;
  width: number;
  height: number;
  faces: NumberedFace[];
  /** Only for an image that was shown. */
  hint?: CropHint | null;
}
