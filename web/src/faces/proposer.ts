import type { InferenceSession } from "onnxruntime-web/wasm";

import detectorFile from "../../build/detector.onnx?url";
import { besidePage, openModel, runtime } from "../model/runtime";
import type { Drawable } from "../preprocess/image";
import { CELL_PX, decodeBoxes } from "./anchors";
import type { DetectedFace } from "./box";

/** Score from which the network proposes a face. */
const MIN_PROPOSAL = 0.1;

/** An image is not enlarged more than this. */
const MAX_ENLARGED = 2;

/** The close-up: longer side of the image, and width of the border around it, in pixels. */
const CLOSE_UP = { side: 96, border: 64 };

/**
 * Proposes faces in copies of an image, with the network that scripts/make_detector.py wrote. Boxes are in pixels of the
 * image and may overlap.
 */
export class Proposer {
  readonly #canvas = new OffscreenCanvas(CELL_PX, CELL_PX);

  private constructor(private readonly session: InferenceSession) {}

  static async load(): Promise<Proposer> {
    return new Proposer(await openModel(besidePage(detectorFile)));
  }

  /** In a copy with a longer side of `side` pixels, or of twice the image's. */
  look(image: Drawable, side: number): Promise<DetectedFace[]> {
    return this.#inBordered(image, copySide(image, side) / Math.max(image.width, image.height), 0);
  }

  /** The same in a copy that is rotated counterclockwise. */
  async lookTilted(image: Drawable, side: number, degrees: number): Promise<DetectedFace[]> {
    const scale = copySide(image, side) / Math.max(image.width, image.height);
    const angle = (degrees * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const [width, height] = [image.width * scale, image.height * scale];
    const turnedWidth = Math.ceil(width * cos + height * Math.abs(sin));
    const turnedHeight = Math.ceil(width * Math.abs(sin) + height * cos);
    const context = this.#clear(turnedWidth, turnedHeight);
    context.translate(turnedWidth / 2, turnedHeight / 2);
    context.rotate(-angle);
    context.drawImage(image.source, -width / 2, -height / 2, width, height);
    const faces = await this.#propose();
    return faces.map(({ box, score }) => {
      const x = box.left + box.width / 2 - turnedWidth / 2;
      const y = box.top + box.height / 2 - turnedHeight / 2;
      const left = x * cos - y * sin + width / 2 - box.width / 2;
      const top = x * sin + y * cos + height / 2 - box.height / 2;
      return { score, box: scaled({ ...box, left, top }, scale) };
    });
  }

  /** A face that fills the image is found when the image is drawn small, with its border pixels repeated around it. */
  lookFromAfar(image: Drawable): Promise<DetectedFace[]> {
    return this.#inBordered(image, CLOSE_UP.side / Math.max(image.width, image.height), CLOSE_UP.border);
  }

  async #inBordered({ source, width, height }: Drawable, scale: number, border: number): Promise<DetectedFace[]> {
    const context = this.#clear(width * scale + 2 * border, height * scale + 2 * border);
    const { width: wide, height: high } = this.#canvas;
    for (const [x, fromWidth, toX, toWidth] of segments(width, border, width * scale, wide)) {
      for (const [y, fromHeight, toY, toHeight] of segments(height, border, height * scale, high)) {
        context.drawImage(source, x, y, fromWidth, fromHeight, toX, toY, toWidth, toHeight);
      }
    }
    const faces = await this.#propose();
    return faces.map(({ box, score }) => {
      return { score, box: scaled({ ...box, left: box.left - border, top: box.top - border }, scale) };
    });
  }

  /** Makes the canvas black, with whole cells for so many pixels. */
  #clear(width: number, height: number): OffscreenCanvasRenderingContext2D {
    const cells = (length: number) => Math.max(Math.ceil(length / CELL_PX - 1e-6), 1) * CELL_PX;
    this.#canvas.width = cells(width);
    this.#canvas.height = cells(height);
    const context = this.#canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb", alpha: false })!;
    context.imageSmoothingQuality = "high";
    return context;
  }

  async #propose(): Promise<DetectedFace[]> {
    const { width, height } = this.#canvas;
    const { data } = this.#canvas.getContext("2d")!.getImageData(0, 0, width, height);
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", new Uint8Array(data.buffer), [height, width, 4]);
    const output = await this.session.run({ pixels }, ["cells"]);
    return decodeBoxes(output["cells"]!.data as Float32Array, height / CELL_PX, width / CELL_PX, MIN_PROPOSAL);
  }
}

/** The longer side of a copy that is asked for. */
export function copySide({ width, height }: Drawable, side: number): number {
  return Math.min(side, MAX_ENLARGED * Math.max(width, height));
}

function scaled(box: DetectedFace["box"], scale: number): DetectedFace["box"] {
  return { left: box.left / scale, top: box.top / scale, width: box.width / scale, height: box.height / scale };
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
