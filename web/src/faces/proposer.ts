import proposalsFile from "../../../src/mien/faces/networks/proposals.onnx?url";
import { besidePage } from "../model/download";
import { type Network, openModel, runtime } from "../model/runtime";
import { type Edges, extended, fitted, resizeColour, transform } from "../preprocess/colour_resize";
import { type RgbaImage, roundHalfEven } from "../preprocess/image";
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
  private constructor(private readonly network: Network) {}

  static async load(): Promise<Proposer> {
    return new Proposer(await openModel(besidePage(proposalsFile)));
  }

  dispose(): Promise<void> {
    return this.network.release();
  }

  /** Propose in a copy with a longer side of `side` pixels: everywhere, or in areas given in pixels of the image. */
  async look(image: RgbaImage, side: number, areas?: Area[]): Promise<Look> {
    const size = fitted(image, side);
    const look = new Look(side, (CELL_PX * Math.max(image.width, image.height)) / side, cellsOf(size[1]), cellsOf(size[0]));
    const cells: Area[] = areas ? areas.map((area) => look.cells(area)) : [[0, 0, look.columns, look.rows]];
    for (const [left, top, right, bottom] of cells) {
      const edges: Edges = [left * CELL_PX, top * CELL_PX, Math.min(right * CELL_PX, size[0]), Math.min(bottom * CELL_PX, size[1])];
      look.add([left, top, right, bottom], await this.#run(partOf(image, size, edges)), MIN_PROPOSAL);
    }
    return look;
  }

  /** Propose in areas of a copy that are rotated counterclockwise. */
  async lookTilted(image: RgbaImage, side: number, areas: Area[], degrees: number): Promise<DetectedFace[]> {
    const size = fitted(image, side);
    const scale = side / Math.max(image.width, image.height);
    const angle = (degrees * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const faces: DetectedFace[] = [];
    for (const area of areas) {
      const [left, top, right, bottom] = area.map((edge) => roundHalfEven(edge * scale)) as Edges;
      const part = partOf(image, size, [left, top, Math.min(right, size[0]), Math.min(bottom, size[1])]);
      const width = Math.ceil(part.width * cos + part.height * Math.abs(sin));
      const height = Math.ceil(part.width * Math.abs(sin) + part.height * cos);
      const x = part.width / 2 - (cos * width - sin * height) / 2;
      const y = part.height / 2 - (sin * width + cos * height) / 2;
      const turned = transform(part, width, height, [cos, -sin, x, sin, cos, y]);
      for (const { box, score } of decodeBoxes(await this.#run(turned), cellsOf(height), cellsOf(width), MIN_PROPOSAL)) {
        const across = box.left + box.width / 2 - width / 2;
        const down = box.top + box.height / 2 - height / 2;
        const newLeft = across * cos - down * sin + part.width / 2 - box.width / 2 + left;
        const newTop = across * sin + down * cos + part.height / 2 - box.height / 2 + top;
        faces.push({
          score,
          box: { left: newLeft / scale, top: newTop / scale, width: box.width / scale, height: box.height / scale },
        });
      }
    }
    return faces;
  }

  /** Run the network on an image with repeated border pixels on the right and below. */
  async #run(image: RgbaImage): Promise<Float32Array> {
    const [width, height] = [CELL_PX * cellsOf(image.width), CELL_PX * cellsOf(image.height)];
    const last = (size: number) => (place: number) => Math.min(place, size - 1);
    const { data } = extended(image, width, height, last(image.width), last(image.height));
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", data as Uint8Array, [height, width, 4]);
    const output = await this.network.run({ pixels }, ["cells"]);
    return output["cells"]!.data as Float32Array;
  }
}

/** The part of a copy of this size between these edges, without the rest of the copy. */
function partOf(image: RgbaImage, [width, height]: [number, number], [left, top, right, bottom]: Edges): RgbaImage {
  const [across, down] = [image.width / width, image.height / height];
  return resizeColour(image, right - left, bottom - top, [left * across, top * down, right * across, bottom * down]);
}

/** Longer side of a copy, limited by the largest enlargement. */
export function copySide({ width, height }: RgbaImage, side: number): number {
  return Math.min(side, MAX_ENLARGED * Math.max(width, height));
}

function cellsOf(length: number): number {
  return Math.ceil(length / CELL_PX);
}
