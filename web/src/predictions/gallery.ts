/** The images that were dropped, pasted or chosen, and the predictions for each. */

import { type Box, type DetectedFace, iou } from "../faces/box";
import type { DecodedImage } from "../preprocess/image";
import { openImage } from "../sources/image_file";
import type { CropHint, ImagePredictions, PredictedFace, Predictor } from "./predictor";

export interface GalleryItem {
  file: File;
  /** A small copy of the image, available once it was opened. */
  thumbnail?: OffscreenCanvas;
  /** Undefined until the image is processed; without faces if none was found. */
  predictions?: ImagePredictions;
  /** Boxes drawn by the user. Boxes are kept when the image is processed again; for face crops they are not used. */
  drawn: Box[];
}

export class Gallery {
  readonly items: GalleryItem[] = [];

  /** `areCrops` returns whether images are currently treated as face crops. */
  constructor(
    private readonly predictor: Promise<Predictor>,
    private readonly areCrops: () => boolean,
  ) {}

  add(files: File[]): GalleryItem[] {
    const items = files.map((file) => ({ file, drawn: [] }));
    this.items.push(...items);
    return items;
  }

  /** Returns false if the image was removed before: two callers may fail on the same image. */
  remove(item: GalleryItem): boolean {
    const index = this.items.indexOf(item);
    if (index < 0) return false;
    this.items.splice(index, 1);
    return true;
  }

  /** Open an image, and predict its faces unless this was done before. Throws PageError. */
  async process(item: GalleryItem): Promise<DecodedImage> {
    const image = await openImage(item.file);
    item.thumbnail ??= thumbnailOf(image, { left: 0, top: 0, width: image.width, height: image.height });
    const predictor = await this.predictor;
    while (!item.predictions) {
      const areCrops = this.areCrops();
      const { manifest, detector: { minScore } } = predictor;
      const { drawn } = item;
      const faces = await (areCrops ? predictor.predictCrop(image) : predictor.predictImage(image, drawn));
      // Predict again if a setting changed or a box was drawn meanwhile.
      const isSame = areCrops === this.areCrops() && manifest === predictor.manifest && minScore === predictor.detector.minScore;
      // The same image may have been predicted twice at once.
      if (isSame && drawn === item.drawn) item.predictions ??= predictionsOf(item, image, faces);
    }
    return image;
  }

  /**
   * Call `process`, and also check whether the image is a crop or a photo. This detection runs only for crops that are
   * shown. If predictions are discarded meanwhile, they are made again.
   */
  async processToShow(item: GalleryItem): Promise<DecodedImage> {
    let image: DecodedImage;
    do {
      image = await this.process(item);
      const { predictions } = item;
      if (predictions?.hint !== undefined) continue;
      const detect = async () => (await this.predictor).detector.detectInImage(image);
      if (predictions) predictions.hint = await cropHint(image, predictions.faces, detect);
    } while (item.predictions?.hint === undefined);
    return image;
  }

  /** Predict a box drawn by the user, besides or instead of detected faces. Returns the new face's number. */
  async addFace(item: GalleryItem, box: Box): Promise<number> {
    const image = await openImage(item.file);
    const face = await (await this.predictor).predictBox(image, box);
    item.drawn = [...item.drawn.filter((other) => !isSameFace(other, box)), box];
    // If predictions were discarded, the box is predicted later, with the other boxes or when images are no face crops.
    if (!item.predictions || this.areCrops()) await this.process(item);
    else {
      // A face without a box is the whole image; the drawn box replaces it.
      const boxed = item.predictions.faces.filter((each) => each.box);
      item.predictions = predictionsOf(item, image, [...boxed, face]);
      item.predictions.hint = null;
    }
    return item.predictions!.faces.at(-1)!.number;
  }

  /** Remove a box drawn by the user. The image must be processed again, because a face may be detected there. */
  removeBox(item: GalleryItem, box: Box): void {
    item.drawn = item.drawn.filter((each) => each !== box);
    delete item.predictions;
  }

  /** Predict again with the whole image as one face. Throws PageError. */
  async processWhole(item: GalleryItem): Promise<void> {
    const image = await openImage(item.file);
    const predictor = await this.predictor;
    const { manifest } = predictor;
    const faces = await predictor.predictCrop(image);
    // With another model, all images are processed again.
    if (manifest === predictor.manifest) item.predictions = predictionsOf(item, image, faces);
  }

  /** Remove all images. */
  clear(): void {
    this.items.length = 0;
  }

  /** Discard all predictions except drawn boxes, so that every image is processed again. */
  forget(): void {
    for (const item of this.items) delete item.predictions;
  }
}

/** Longer side of a thumbnail in pixels: twice the size in the list. */
const THUMBNAIL_PX = 96;

function thumbnailOf({ source }: DecodedImage, { left, top, width, height }: Box): OffscreenCanvas {
  const scale = Math.min(THUMBNAIL_PX / Math.max(width, height), 1);
  const canvas = new OffscreenCanvas(Math.max(Math.round(width * scale), 1), Math.max(Math.round(height * scale), 1));
  const context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Give each face a number. A detected face under a drawn box is left out. */
function predictionsOf({ file, drawn }: GalleryItem, image: DecodedImage, faces: PredictedFace[]): ImagePredictions {
  const { width, height } = image;
  const listed = faces.filter(({ box }) => !box || drawn.includes(box) || !drawn.some((other) => isSameFace(other, box)));
  const numbered = listed.map((face, index) => {
    const { square } = face;
    const thumbnail = square && thumbnailOf(image, { ...square, width: square.side, height: square.side });
    return { ...face, number: index + 1, ...(thumbnail && { thumbnail }) };
  });
  return { source: file.name, width, height, faces: numbered };
}

/** Above this IoU, a drawn box and a detected one are the same face. */
const SAME_FACE = 0.4;

function isSameFace(drawn: Box, other: Box): boolean {
  return iou(drawn, other) > SAME_FACE;
}

/** Largest side of face crops in common data sets, as in mien.faces.face. */
export const CROP_PX = 224;

/** If a face is below this fraction of the image's shorter side, the image is a photo. */
const SMALL_FACE = 0.4;

/**
 * Tell photos given as face crops, and the reverse, by the rules of mien.faces.face. This calls `detect` only for a
 * large image that was treated as a face crop.
 */
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
