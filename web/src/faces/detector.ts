import detectorFile from "../../../src/mien/faces/networks/detector.onnx?url";
import { besidePage } from "../model/download";
import { type Network, openModel, runtime } from "../model/runtime";
import { type DecodedImage, type RgbaImage, roundHalfEven } from "../preprocess/image";
import { resizeColour } from "../preprocess/resize";
import { queue } from "../queue";
import { type Box, type DetectedFace, iou, LANDMARKS, type Landmarks } from "./box";
import { brightened } from "./crop";

/** All as in mien.faces.find: the lowest score of a face, unless the user chooses another, and where faces are searched. */
const MIN_SCORE = 0.56;
const MAX_PX = 640;
const SURE = 0.87;
const AGAIN = { weight: 0.35, px: 160, size: 3, iou: 0.4 };
const FRAMED = { px: 192, border: 1 / 3 };
const MAX_DOUBTFUL = 100;

/** Longer side of what is cut out at once. More would need too much memory, so it is cut out of a smaller copy. */
const MAX_CUT_PX = 4000;

/** Longer side of a video frame's copy, and the largest number of doubtful faces in it that are looked at again. */
const FRAME_PX = 320;
const MAX_DOUBTFUL_IN_FRAME = 8;

/** Seconds between frames that are searched for small faces, in a copy as large as a still image's; for a camera these take
 * at most a fifth of the time. */
const SMALL_FACES_EVERY = { seconds: 0.4, durations: 5 };

/** Detects faces in the frames of one video. `known` are the boxes of faces in earlier frames; `seconds` is the frame's time. */
type FrameDetector = (frame: DecodedImage, known: Box[], seconds: number) => Promise<DetectedFace[]>;

/** Number of values of a face: left, top, width, height, score, then x and y of each landmark. */
const VALUES = 15;

/** Detects faces as mien.faces.find does, with YuNet: Wu, Peng & Yu, Machine Intelligence Research 20, 2023. */
export class Detector {
  minScore = MIN_SCORE;
  /** One image after another: two at once would show the first one later. */
  readonly #inTurn = queue();

  private constructor(private readonly network: Network) {}

  static async load(): Promise<Detector> {
    return new Detector(await openModel(besidePage(detectorFile)));
  }

  dispose(): Promise<void> {
    return this.network.release();
  }

  /** Faces in a still image, the largest first; boxes in whole pixels of the image. */
  detectInImage(image: DecodedImage): Promise<DetectedFace[]> {
    return this.#inTurn(async () => {
      const pixels = brightened(image.pixels);
      const faces = await this.#search(pixels, Math.min(MAX_PX, longerOf(pixels)));
      return this.#chosen(faces.length ? faces : await this.#searchFramed(pixels));
    });
  }

  /** Start a camera (live) or a video file, whose results must not depend on the machine. */
  startVideo(isLive: boolean): FrameDetector {
    let [latest, nextSmall] = [0, 0];
    return (frame, known, seconds) => this.#inTurn(async () => {
      // The video has jumped back.
      if (seconds < latest) nextSmall = 0;
      latest = seconds;
      if (seconds < nextSmall) return this.#detectInFrame(frame, known, FRAME_PX);
      const start = performance.now();
      const faces = await this.#detectInFrame(frame, known, MAX_PX);
      const taken = isLive ? (performance.now() - start) / 1000 : 0;
      nextSmall = seconds + Math.max(SMALL_FACES_EVERY.seconds, SMALL_FACES_EVERY.durations * taken);
      return faces;
    });
  }

  /** Known faces need no second look; those that the copy of the frame does not show are looked for where they were. */
  async #detectInFrame(frame: DecodedImage, known: Box[], px: number): Promise<DetectedFace[]> {
    const pixels = brightened(frame.pixels);
    const isSame = (box: Box) => (face: DetectedFace) => iou(box, face.box) > AGAIN.iou;
    const faces: DetectedFace[] = [];
    let left = MAX_DOUBTFUL_IN_FRAME;
    for (const face of await this.#run(pixels, Math.min(px, longerOf(pixels)))) {
      const isKnown = known.some((box) => isSame(box)(face));
      if (!isKnown && face.score < SURE && (left -= 1) >= 0) face.score = await this.#scoreOfBoth(pixels, face);
      if (face.score >= this.#least && (isKnown || left >= 0 || face.score >= SURE)) faces.push(face);
    }
    for (const box of known) {
      const seen = faces.some(isSame(box)) ? null : await this.#around(pixels, box);
      if (seen && seen.score >= this.#least && !faces.some(isSame(seen.box))) faces.push(seen);
    }
    return this.#chosen(faces);
  }

  /** A lower limit of the user finds more. A higher one comes last: where faces are searched does not depend on it. */
  get #least(): number {
    return Math.min(MIN_SCORE, this.minScore);
  }

  /** Find faces in a copy of this longer side, and look at the doubtful ones again. */
  async #search(image: RgbaImage, px: number): Promise<DetectedFace[]> {
    const faces = await this.#run(image, px);
    const doubtful = faces.filter(({ score }) => score < SURE);
    for (const face of doubtful.slice(0, MAX_DOUBTFUL)) face.score = await this.#scoreOfBoth(image, face);
    const dropped = new Set(doubtful.slice(MAX_DOUBTFUL));
    return faces.filter((face) => face.score >= this.#least && !dropped.has(face));
  }

  /** Find a face that fills the image, in a small copy with a black frame. */
  async #searchFramed(image: RgbaImage): Promise<DetectedFace[]> {
    const [copy, scale] = shrunk(image, (1 + 2 * FRAMED.border) * longerOf(image));
    const border = roundHalfEven(FRAMED.border * longerOf(copy));
    const framed = cropped(copy, -border, -border, copy.width + 2 * border, copy.height + 2 * border);
    return (await this.#search(framed, FRAMED.px)).map((face) => moved(face, scale, -border, -border));
  }

  /** The score of a doubtful face, averaged with that in an enlarged square around it; 0 if it is not found there. */
  async #scoreOfBoth(image: RgbaImage, { box, score }: DetectedFace): Promise<number> {
    const again = (await this.#around(image, box))?.score ?? 0;
    return score + AGAIN.weight * (again - score);
  }

  /** The best face at a box, in an enlarged square around it. */
  async #around(image: RgbaImage, box: Box): Promise<DetectedFace | undefined> {
    const [copy, scale] = shrunk(image, AGAIN.size * longerOf(box));
    const side = Math.max(roundHalfEven((AGAIN.size * longerOf(box)) / scale), 1);
    const corner = (start: number, size: number) => roundHalfEven((start + size / 2) / scale - side / 2);
    const [left, top] = [corner(box.left, box.width), corner(box.top, box.height)];
    const faces = await this.#run(cropped(copy, left, top, side, side), AGAIN.px);
    return faces.map((face) => moved(face, scale, left, top)).find((face) => iou(box, face.box) > AGAIN.iou);
  }

  /** Run the network on a copy of this longer side. Faces are in pixels of the image, the best score first. */
  async #run(image: RgbaImage, px: number): Promise<DetectedFace[]> {
    const copy = resized(image, px);
    const { Tensor } = await runtime();
    const pixels = new Tensor("uint8", new Uint8Array(copy.data.buffer, copy.data.byteOffset, copy.data.length), [copy.height, copy.width, 4]);
    const { data } = (await this.network.run({ pixels }, ["faces"]))["faces"]!;
    const rows = Array.from({ length: data.length / VALUES }, (_, at) => (data as Float32Array).subarray(at * VALUES, (at + 1) * VALUES));
    return rows.map((row) => moved(faceOf(row), longerOf(image) / px));
  }

  /** The faces with the user's lowest score, in whole pixels, the largest first, then from left to right. */
  #chosen(faces: DetectedFace[]): DetectedFace[] {
    const whole = faces.filter(({ score }) => score >= this.minScore).map((face) => {
      const { left, top, width, height } = face.box;
      const [wide, high] = [Math.max(roundHalfEven(width), 1), Math.max(roundHalfEven(height), 1)];
      return { ...face, box: { left: roundHalfEven(left), top: roundHalfEven(top), width: wide, height: high } };
    });
    return whole.sort(({ box: one }, { box: other }) => other.width * other.height - one.width * one.height || one.left - other.left || one.top - other.top);
  }
}

function faceOf([left, top, width, height, score, ...points]: Float32Array): DetectedFace {
  const landmarks = Object.fromEntries(LANDMARKS.map((name, at) => [name, [points[2 * at]!, points[2 * at + 1]!]])) as unknown as Landmarks;
  return { box: { left: left!, top: top!, width: width!, height: height! }, score: score!, landmarks };
}

/** Move a face, and multiply all that is in pixels. */
function moved({ box, score, landmarks }: DetectedFace, scale: number, left = 0, top = 0): DetectedFace {
  const point = ([x, y]: [number, number]): [number, number] => [(x + left) * scale, (y + top) * scale];
  const [x, y] = point([box.left, box.top]);
  const points = Object.fromEntries(Object.entries(landmarks ?? {}).map(([name, at]) => [name, point(at)])) as Landmarks;
  return { box: { left: x, top: y, width: box.width * scale, height: box.height * scale }, score, landmarks: points };
}

function longerOf({ width, height }: { width: number; height: number }): number {
  return Math.max(width, height);
}

/** A copy whose longer side has this number of pixels. */
function resized(image: RgbaImage, px: number): RgbaImage {
  const fitted = (side: number) => Math.max(roundHalfEven(side * (px / longerOf(image))), 1);
  return resizeColour(image, fitted(image.width), fitted(image.height));
}

/** An image from which this many pixels can be cut out at once, and how much larger the given one is. */
function shrunk(image: RgbaImage, pixels: number): [RgbaImage, number] {
  const px = Math.round((longerOf(image) * MAX_CUT_PX) / pixels);
  return pixels > MAX_CUT_PX ? [resized(image, px), longerOf(image) / px] : [image, 1];
}

/** Cut out a rectangle of whole pixels, black outside the image. */
function cropped(image: RgbaImage, left: number, top: number, width: number, height: number): RgbaImage {
  const data = new Uint8Array(4 * width * height);
  const [from, to] = [Math.max(left, 0), Math.min(left + width, image.width)];
  for (let row = Math.max(top, 0); row < Math.min(top + height, image.height) && from < to; row += 1) {
    const line = image.data.subarray(4 * (row * image.width + from), 4 * (row * image.width + to));
    data.set(line, 4 * ((row - top) * width + from - left));
  }
  return { width, height, data };
}
