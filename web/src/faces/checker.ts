import checkFile from "../../../src/mien/faces/networks/check.onnx?url";
import { besidePage } from "../model/download";
import { type Network, openModel, runtime } from "../model/runtime";
import { crop, resizeColour } from "../preprocess/colour_resize";
import { type RgbaImage, roundHalfEven } from "../preprocess/image";
import type { Square } from "./crop";
import { type Box, type DetectedFace, type Features, iou } from "./box";

/** Side of the network's input, number of its output values, and number of faces per batch. */
const CHECK_PX = 48;
const VALUES = 16;
const BATCH = 64;

/** Limit of the log odds of each network, so that neither decides alone. */
const MAX_LOG_ODDS = 4;

/** A proposal with a lower score in the first check is not checked again. As in mien.faces.network. */
const MIN_FIRST_SCORE = 0.02;

const LANDMARKS = ["right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner"];

/** If the boxes of a face in two frames have a lower IoU, the face moved. */
const IN_PLACE = 0.65;

/** Turns a proposal into the box that the check expects; fractions of the proposal's side. As in mien.faces.network. */
const FRAMING = { width: 0.76, height: 1.01, down: -0.112 };

/** Checks proposals with the second network of mien.faces.network: the last two stages of MTCNN. */
export class Checker {
  private constructor(private readonly network: Network) {}

  static async load(): Promise<Checker> {
    return new Checker(await openModel(besidePage(checkFile)));
  }

  dispose(): Promise<void> {
    return this.network.release();
  }

  /** Return the faces with better boxes, and with one score, 0..1, from both networks. */
  async check(image: RgbaImage, faces: DetectedFace[]): Promise<DetectedFace[]> {
    const squares = faces.map(({ box }) => squareOf(box));
    const first = await this.#run(image, squares);
    const likely = faces.flatMap(({ score }, index) => {
      const isLikely = scoreOf(score, first[index]!) > MIN_FIRST_SCORE;
      return isLikely ? [{ score, box: regressed(squares[index]!, first[index]!) }] : [];
    });
    const second = await this.#run(image, likely.map(({ box }) => squareOf(box)));
    return likely.map(({ box, score }, index) => {
      const face = faceAt(squareOf(box), second[index]!, score);
      return { ...face, box: meanOf(box, face.box) };
    });
  }

  /**
   * Check faces of earlier frames again; each has the box and score of its last check. A face that stays in place
   * needs only one step. The first score is not checked, because it may be low for a face that moved.
   */
  async follow(image: RgbaImage, faces: DetectedFace[]): Promise<DetectedFace[]> {
    const step = async (from: DetectedFace[]) => {
      const squares = from.map(({ box }) => squareOf(box));
      const rows = await this.#run(image, squares);
      return rows.map((row, index) => faceAt(squares[index]!, row, from[index]!.score));
    };
    const followed = await step(faces);
    const moved = followed.map(({ box }, index) => ({ box, index, score: faces[index]!.score }));
    const far = moved.filter(({ box, index }) => iou(box, faces[index]!.box) < IN_PLACE);
    (await step(far)).forEach((face, at) => (followed[far[at]!.index] = face));
    return followed;
  }

  async #run(image: RgbaImage, squares: Square[]): Promise<Float32Array[]> {
    const rows: Float32Array[] = [];
    for (let start = 0; start < squares.length; start += BATCH) {
      rows.push(...(await this.#runBatch(image, squares.slice(start, start + BATCH))));
    }
    return rows;
  }

  async #runBatch(image: RgbaImage, squares: Square[]): Promise<Float32Array[]> {
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", this.#crops(image, squares), [squares.length, CHECK_PX, CHECK_PX, 3]);
    const { data } = (await this.network.run({ pixels }, ["faces"]))["faces"]!;
    return squares.map((_, index) => (data as Float32Array).subarray(index * VALUES, (index + 1) * VALUES));
  }

  /** Red, green and blue of all squares, one below the other; black outside the image. */
  #crops(image: RgbaImage, squares: Square[]): Uint8Array {
    const colours = new Uint8Array(squares.length * CHECK_PX ** 2 * 3);
    let to = 0;
    for (const { left, top, side } of squares) {
      const square = crop(image, roundHalfEven(left), roundHalfEven(top), Math.max(roundHalfEven(side), 1));
      const { data } = resizeColour(square, CHECK_PX, CHECK_PX);
      for (let from = 0; from < data.length; from += 4, to += 3) {
        for (let channel = 0; channel < 3; channel += 1) colours[to + channel] = data[from + channel]!;
      }
    }
    return colours;
  }
}

/** Convert a proposal of the first network to a box as the check expects it. */
export function reframed({ box: { left, top, width, height }, score }: DetectedFace): DetectedFace {
  const [newWidth, newHeight] = [width * FRAMING.width, height * FRAMING.height];
  const box = {
    left: left + (width - newWidth) / 2,
    top: top + height * (0.5 + FRAMING.down) - newHeight / 2,
    width: newWidth,
    height: newHeight,
  };
  return { box, score };
}

function squareOf({ left, top, width, height }: Box): Square {
  const side = Math.max(width, height);
  return { left: left + (width - side) / 2, top: top + (height - side) / 2, side };
}

/** Compute a better box from the check's output for a square. */
function regressed({ left, top, side }: Square, values: Float32Array): Box {
  const [west, north, east, south] = [...values.subarray(2, 6)].map((value) => value * side);
  return {
    left: left + west!,
    top: top + north!,
    width: Math.max(side + east! - west!, 1),
    height: Math.max(side + south! - north!, 1),
  };
}

/** Return points from the check's output for a square: right eye, left eye, nose, right and left mouth corner. */
export function featuresOf({ left, top, side }: Square, values: Float32Array): Features {
  const between = (one: number, other: number): [number, number] => [
    left + (side * (values[6 + one]! + values[6 + other]!)) / 2,
    top + (side * (values[11 + one]! + values[11 + other]!)) / 2,
  ];
  const landmarks = Object.fromEntries(LANDMARKS.map((name, point) => [name, between(point, point)]));
  return { eyes: between(0, 1), mouth: between(3, 4), landmarks };
}

/** As in mien.faces.network, the mean of the boxes of both checks is better than either. */
function meanOf(one: Box, other: Box): Box {
  const mean = (side: keyof Box) => (one[side] + other[side]) / 2;
  return { left: mean("left"), top: mean("top"), width: mean("width"), height: mean("height") };
}

/** Return the face from the check's output for a square; `proposed` is the score of its proposal. */
function faceAt(square: Square, values: Float32Array, proposed: number): DetectedFace {
  return { box: regressed(square, values), features: featuresOf(square, values), score: scoreOf(proposed, values) };
}

function scoreOf(proposed: number, values: Float32Array): number {
  const clipped = (value: number) => Math.min(Math.max(value, -MAX_LOG_ODDS), MAX_LOG_ODDS);
  const odds = clipped(values[0]!) + clipped(values[1]!) + 2 * Math.log(proposed);
  return 1 / (1 + Math.exp(-odds / 2));
}
