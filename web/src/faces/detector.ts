import type { InferenceSession } from "onnxruntime-web/wasm";

import { open, runtime } from "../model/runtime";
import { CELL_PX, decode } from "./anchors";
import { type FoundFace, withoutOverlaps } from "./box";

/** The detector's own threshold and share of overlap, as in face-api. */
const LEAST_SCORE = 0.5;
const MOST_OVERLAP = 0.4;

/** What the longer side of a frame is drawn at for the detector: a face must be about 30 pixels large then. */
const FRAME_PX = 320;

/** The same of a still picture, for which there is time: the second look, at large pictures, is for small faces. */
const PICTURE_PX = [416, 832];

/** A face that fills the picture is found when the picture is drawn small, its border pixels repeated around it. */
const CLOSE_UP = { canvas: 224, picture: 96 };

/** Anything that a canvas can draw, with its size. */
export interface Drawable {
  source: CanvasImageSource;
  width: number;
  height: number;
}

/** Finds faces: the tiny face detector in detector.onnx. */
export class Detector {
  private constructor(
    private readonly session: InferenceSession,
    private readonly canvas: OffscreenCanvas,
  ) {}

  static async load(): Promise<Detector> {
    return new Detector(await open("detector.onnx"), new OffscreenCanvas(CELL_PX, CELL_PX));
  }

  /** Faces in a still picture, the largest first; their boxes in whole pixels of the picture. */
  async inPicture(picture: Drawable): Promise<FoundFace[]> {
    const longer = Math.max(picture.width, picture.height);
    const found: FoundFace[] = [];
    for (const [index, px] of PICTURE_PX.entries()) {
      if (index === 0 || px <= longer) found.push(...(await this.#look(picture, px / longer, 0, 0)));
    }
    return found.length ? withoutOverlaps(found, MOST_OVERLAP) : this.#closeUp(picture);
  }

  /** The same in a frame of a video. */
  async inFrame(frame: Drawable): Promise<FoundFace[]> {
    const found = await this.#look(frame, FRAME_PX / Math.max(frame.width, frame.height), 0, 0);
    return withoutOverlaps(found, MOST_OVERLAP);
  }

  async #closeUp(picture: Drawable): Promise<FoundFace[]> {
    const scale = CLOSE_UP.picture / Math.max(picture.width, picture.height);
    const free = (length: number) => Math.round(CLOSE_UP.canvas - length * scale) / 2;
    const found = await this.#look(picture, scale, free(picture.width), free(picture.height));
    return withoutOverlaps(found, MOST_OVERLAP);
  }

  /** What the detector says of the picture drawn at some scale with some pixels before it; boxes may overlap. */
  async #look({ source, width, height }: Drawable, scale: number, left: number, top: number): Promise<FoundFace[]> {
    const cells = (length: number, border: number) => Math.max(Math.ceil((length * scale + 2 * border) / CELL_PX), 1);
    const [columns, rows] = [cells(width, left), cells(height, top)];
    this.canvas.width = columns * CELL_PX;
    this.canvas.height = rows * CELL_PX;
    const context = this.canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
    context.imageSmoothingQuality = "medium";
    for (const [x, wide, toX, toWide] of parts(width, left, width * scale, this.canvas.width)) {
      for (const [y, high, toY, toHigh] of parts(height, top, height * scale, this.canvas.height)) {
        context.drawImage(source, x, y, wide, high, toX, toY, toWide, toHigh);
      }
    }
    const { data } = context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", new Uint8Array(data.buffer), [this.canvas.height, this.canvas.width, 4]);
    const answer = await this.session.run({ pixels }, ["cells"]);
    const found = decode(answer["cells"]!.data as Float32Array, rows, columns, LEAST_SCORE);
    return found.map(({ score, box }) => ({
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
 * Along one side: from where in the picture, how much of it, to where on the canvas, how much there. The middle is the
 * whole side; what lies before and after is its first and last pixel.
 */
function parts(length: number, before: number, drawn: number, canvas: number): [number, number, number, number][] {
  return [
    [0, 1, 0, before],
    [0, length, before, drawn],
    [length - 1, 1, before + drawn, canvas - before - drawn],
  ];
}
