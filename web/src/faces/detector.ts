import type { InferenceSession } from "onnxruntime-web/wasm";

import detectorFile from "../../build/detector.onnx?url";
import { besidePage, openModel, runtime } from "../model/runtime";
import type { Drawable } from "../preprocess/image";
import { CELL_PX, decodeBoxes } from "./anchors";
import { type DetectedFace, suppressOverlaps } from "./box";

/** The lowest score of a face, as in face-api, unless the user chooses another. */
export const MIN_SCORE = 0.5;

/** As in face-api. */
const MAX_IOU = 0.4;

/** Each frame of a video is resized to this longer side; the detector needs faces of about 30 pixels. */
const FRAME_PX = 320;

/** Small faces are looked for in some frames, at one of these sizes after the other. */
const SMALL_FACES_PX = [640, 1280];

/** Not more often than this, and for at most a fifth of the time. A face is shown for longer than between two looks. */
const SMALL_FACES_EVERY = { milliseconds: 200, durations: 5 };

/** The sizes for a still image, where there is time. */
const IMAGE_PX = [416, 832, 1280];

/** An image that is enlarged by more than this shows no more faces. */
const MAX_SCALE = 2;

/** A face that fills the image is found when the image is drawn small, with its border pixels repeated around it. */
const CLOSE_UP = { canvas: 224, image: 96 };

/** Detects faces with the tiny face detector that scripts/make_detector.py wrote. */
export class Detector {
  minScore = MIN_SCORE;
  #smallFacesLooks = 0;
  #nextSmallFaces = 0;

  private constructor(
    private readonly session: InferenceSession,
    private readonly canvas: OffscreenCanvas,
  ) {}

  static async load(): Promise<Detector> {
    return new Detector(await openModel(besidePage(detectorFile)), new OffscreenCanvas(CELL_PX, CELL_PX));
  }

  /** Faces in a still image, the largest first; boxes in whole pixels of the image. */
  async detectInImage(image: Drawable): Promise<DetectedFace[]> {
    const longer = Math.max(image.width, image.height);
    const faces: DetectedFace[] = [];
    for (const [index, px] of IMAGE_PX.entries()) {
      if (index === 0 || px <= MAX_SCALE * longer) faces.push(...(await this.#detectAt(image, px / longer, 0, 0)));
    }
    return faces.length ? suppressOverlaps(faces, MAX_IOU) : this.#detectCloseUp(image);
  }

  /** The same in a frame of a video: small faces only now and then. */
  async detectInFrame(frame: Drawable): Promise<DetectedFace[]> {
    const longer = Math.max(frame.width, frame.height);
    const faces = await this.#detectAt(frame, FRAME_PX / longer, 0, 0);
    const start = performance.now();
    if (start >= this.#nextSmallFaces) {
      const px = SMALL_FACES_PX[this.#smallFacesLooks++ % SMALL_FACES_PX.length]!;
      faces.push(...(await this.#detectAt(frame, Math.min(px / longer, MAX_SCALE), 0, 0)));
      const end = performance.now();
      const { milliseconds, durations } = SMALL_FACES_EVERY;
      this.#nextSmallFaces = end + Math.max(milliseconds, (durations - 1) * (end - start));
    }
    return suppressOverlaps(faces, MAX_IOU);
  }

  async #detectCloseUp(image: Drawable): Promise<DetectedFace[]> {
    const scale = CLOSE_UP.image / Math.max(image.width, image.height);
    const border = (length: number) => Math.round(CLOSE_UP.canvas - length * scale) / 2;
    const faces = await this.#detectAt(image, scale, border(image.width), border(image.height));
    return suppressOverlaps(faces, MAX_IOU);
  }

  /** Faces in the image, drawn at a scale with a border of `left` and `top` pixels; boxes may overlap. */
  async #detectAt(
    { source, width, height }: Drawable,
    scale: number,
    left: number,
    top: number,
  ): Promise<DetectedFace[]> {
    const cells = (length: number, border: number) => Math.max(Math.ceil((length * scale + 2 * border) / CELL_PX), 1);
    const [columns, rows] = [cells(width, left), cells(height, top)];
    this.canvas.width = columns * CELL_PX;
    this.canvas.height = rows * CELL_PX;
    const context = this.canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
    context.imageSmoothingQuality = "medium";
    for (const [x, fromWidth, toX, toWidth] of segments(width, left, width * scale, this.canvas.width)) {
      for (const [y, fromHeight, toY, toHeight] of segments(height, top, height * scale, this.canvas.height)) {
        context.drawImage(source, x, y, fromWidth, fromHeight, toX, toY, toWidth, toHeight);
      }
    }
    const { data } = context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", new Uint8Array(data.buffer), [this.canvas.height, this.canvas.width, 4]);
    const output = await this.session.run({ pixels }, ["cells"]);
    const faces = decodeBoxes(output["cells"]!.data as Float32Array, rows, columns, this.minScore);
    return faces.map(({ score, box }) => ({
      score,
      box: {
        left: Math.round((box.left - left) / scale),
        top: Math.round((box.top - top) / scale),
        width: Math.max(Math.round(box.width / scale), 1),
        height: Math.max(Math.round(box.height / scale), 1),
      },
    }));
  }
}

/**
 * The three parts of one side of the canvas: [start in the image, length there, start on the canvas, length there]. The
 * middle is the whole side of the image; the borders repeat its first and its last pixel.
 */
function segments(length: number, before: number, drawn: number, canvas: number): [number, number, number, number][] {
  return [
    [0, 1, 0, before],
    [0, length, before, drawn],
    [length - 1, 1, before + drawn, canvas - before - drawn],
  ];
}
