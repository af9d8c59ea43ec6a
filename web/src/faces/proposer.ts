import proposalsFile from "../../../src/mien/faces/networks/proposals.onnx?url";
import { besidePage, type Network, openModel, runtime } from "../model/runtime";
import type { Drawable } from "../preprocess/image";
import { CELL_PX, decodeBoxes } from "./anchors";
import type { DetectedFace } from "./box";
import { type Area, Look } from "./look";

/** As in mien.faces.network. */
const MIN_PROPOSAL = 0.06;
const MAX_ENLARGED = 2;

/**
 * Proposes faces in copies of an image, with the first network of mien.faces.network. Boxes are in pixels of the image and
 * may overlap.
 */
export class Proposer {
  readonly #canvas = new OffscreenCanvas(CELL_PX, CELL_PX);

  private constructor(private readonly network: Network) {}

  static async load(): Promise<Proposer> {
    return new Proposer(await openModel(besidePage(proposalsFile)));
  }

  dispose(): Promise<void> {
    return this.network.release();
  }

  /** Propose in a copy with a longer side of `side` pixels: everywhere, or in areas given in pixels of the image. */
  async look(image: Drawable, side: number, areas?: Area[]): Promise<Look> {
    const scale = side / Math.max(image.width, image.height);
    const look = new Look(side, scale, cellsOf(image.height * scale), cellsOf(image.width * scale));
    const cells: Area[] = areas ? areas.map((area) => look.cells(area)) : [[0, 0, look.columns, look.rows]];
    for (const area of cells) {
      this.#draw(image, scale, area);
      look.add(area, await this.#run(), MIN_PROPOSAL);
    }
    return look;
  }

  /** Propose in areas of a copy that are rotated counterclockwise. */
  async lookTilted(image: Drawable, side: number, areas: Area[], degrees: number): Promise<DetectedFace[]> {
    const scale = side / Math.max(image.width, image.height);
    const angle = (degrees * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const faces: DetectedFace[] = [];
    for (const area of areas) {
      const [left, top] = [Math.round(area[0] * scale), Math.round(area[1] * scale)];
      const width = Math.min(Math.round(area[2] * scale), image.width * scale) - left;
      const height = Math.min(Math.round(area[3] * scale), image.height * scale) - top;
      const turnedWidth = Math.ceil(width * cos + height * Math.abs(sin));
      const turnedHeight = Math.ceil(width * Math.abs(sin) + height * cos);
      const context = this.#clear(cellsOf(turnedWidth), cellsOf(turnedHeight));
      context.translate(turnedWidth / 2, turnedHeight / 2);
      context.rotate(-angle);
      const from = [left, top, width, height].map((length) => length / scale) as [number, number, number, number];
      context.drawImage(image.source, ...from, -width / 2, -height / 2, width, height);
      const { width: wide, height: high } = this.#canvas;
      for (const { box, score } of decodeBoxes(await this.#run(), high / CELL_PX, wide / CELL_PX, MIN_PROPOSAL)) {
        const x = box.left + box.width / 2 - turnedWidth / 2;
        const y = box.top + box.height / 2 - turnedHeight / 2;
        const newLeft = x * cos - y * sin + width / 2 - box.width / 2 + left;
        const newTop = x * sin + y * cos + height / 2 - box.height / 2 + top;
        faces.push({
          score,
          box: { left: newLeft / scale, top: newTop / scale, width: box.width / scale, height: box.height / scale },
        });
      }
    }
    return faces;
  }

  /** Draw some cells of a copy, with repeated border pixels on the right and below. */
  #draw({ source, width, height }: Drawable, scale: number, [left, top, right, bottom]: Area): void {
    const context = this.#clear(right - left, bottom - top);
    context.translate(-left * CELL_PX, -top * CELL_PX);
    const [drawnWidth, drawnHeight] = [width * scale, height * scale];
    const [beyond, below] = [right * CELL_PX - drawnWidth, bottom * CELL_PX - drawnHeight];
    context.drawImage(source, 0, 0, drawnWidth, drawnHeight);
    if (beyond > 0) context.drawImage(source, width - 1, 0, 1, height, drawnWidth, 0, beyond, drawnHeight);
    if (below > 0) context.drawImage(source, 0, height - 1, width, 1, 0, drawnHeight, drawnWidth, below);
    if (beyond > 0 && below > 0) {
      context.drawImage(source, width - 1, height - 1, 1, 1, drawnWidth, drawnHeight, beyond, below);
    }
  }

  /** Make the canvas black and set its size in cells. */
  #clear(columns: number, rows: number): OffscreenCanvasRenderingContext2D {
    this.#canvas.width = columns * CELL_PX;
    this.#canvas.height = rows * CELL_PX;
    const context = this.#canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb", alpha: false })!;
    context.imageSmoothingQuality = "high";
    return context;
  }

  async #run(): Promise<Float32Array> {
    const { width, height } = this.#canvas;
    const { data } = this.#canvas.getContext("2d")!.getImageData(0, 0, width, height);
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", new Uint8Array(data.buffer), [height, width, 4]);
    const output = await this.network.run({ pixels }, ["cells"]);
    return output["cells"]!.data as Float32Array;
  }
}

/** Longer side of a copy, limited by the largest enlargement. */
export function copySide({ width, height }: Drawable, side: number): number {
  return Math.min(side, MAX_ENLARGED * Math.max(width, height));
}

function cellsOf(length: number): number {
  return Math.max(Math.ceil(length / CELL_PX - 1e-6), 1);
}
