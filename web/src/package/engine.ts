/** The page's engine for other pages: predicts faces and expressions in pictures and videos. */

import type { Box, Landmarks } from "../faces/box";
import { NOT_A_FACE } from "../heads/label";
import { defaultOutput, type Output, outputsOf } from "../heads/votes";
import { PageError, reasonOf } from "../page_error";
import { schemesFor } from "../predictions/label_schemes";
import { type Prediction, predictionOf } from "../predictions/prediction";
import { Predictor } from "../predictions/predictor";
import { Tracker } from "../predictions/tracker";
import type { DecodedImage } from "../preprocess/image";
import { queue } from "../queue";
import { openImage } from "../sources/image_file";
import { colourOf } from "../view/colours";

export type { Box, Landmarks, Prediction };

/** A face with its prediction: `answer`, `in_doubt`, `alternatives`, `top`, `confidence`, `probabilities`, `box`, `detection_score`. */
export type Face = Prediction & { box: Box; detection_score: number; landmarks: Landmarks };

/** A face of a video. `track` is its number in all frames, and its probabilities are smoothed over 0.2 s. */
export type TrackedFace = Face & { track: number };

/** An image file, or anything that a canvas can draw and that has a size: an image, video, canvas, ImageBitmap or VideoFrame. */
export type Picture = Blob | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | VideoFrame;

export interface Options {
  /** "default", or "fast" or "tiny" (a third and a ninth of the size, less accurate), or the address of a model without ".onnx". */
  model?: "default" | "fast" | "tiny" | URL;
  /** Output of the model to use, such as "fer2013" or "perceived"; by default the model's own choice. */
  output?: string;
  /** The lowest score of a face, 0 to 1; by default 0.56. */
  minScore?: number;
}

const REFUSALS = {
  "image-unreadable": "The browser cannot open this file as an image.",
  "image-too-large": "The image has more than 100 million pixels, or more than the browser can draw.",
};

/** An error of this package. Its code never changes, so that programs can go by it. */
export class MienError extends Error {
  override readonly name = "MienError";

  constructor(
    readonly code: keyof typeof REFUSALS | "image-type" | "image-size" | "load-failed" | "min-score-range" | "model-unknown" | "output-unknown" | "time" | "disposed",
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Use a variable: bundlers would try to resolve an address that is built directly from import.meta.url. */
const HERE = import.meta.url;

export class Mien {
  readonly #canvas = new OffscreenCanvas(1, 1);
  /** Pictures use the same canvas, so one waits for the other. */
  readonly #inTurn = queue();
  #freeing: Promise<void> | null = null;
  #isFreed = false;

  private constructor(
    private readonly predictor: Predictor,
    private readonly output: Output,
  ) {}

  /** Load the networks. Throws MienError if one cannot be fetched, or the model has no such output. */
  static async load({ model = "default", output, minScore }: Options = {}): Promise<Mien> {
    if (minScore !== undefined && !(minScore >= 0 && minScore <= 1)) throw new MienError("min-score-range", `minScore is 0 to 1, not ${minScore}.`);
    if (!(model instanceof URL) && !["default", "fast", "tiny"].includes(model)) throw new MienError("model-unknown", `model is "default", "fast", "tiny" or a URL, not ${model}.`);
    const address = model instanceof URL ? model : new URL(`models/${model}`, HERE);
    const predictor = await Predictor.load(address).catch((cause: unknown) => {
      throw new MienError("load-failed", `A network cannot be loaded (${reasonOf(cause)}). Are mien-web's models copied to this address? See its README.`, { cause });
    });
    if (minScore !== undefined) predictor.detector.minScore = minScore;
    const outputs = outputsOf(predictor.manifest);
    const chosen = output === undefined ? defaultOutput(outputs) : outputs.find(({ name }) => name === output);
    if (!chosen) {
      await predictor.dispose();
      throw new MienError("output-unknown", `The model has no output "${output}"; it has ${outputs.map(({ name }) => `"${name}"`).join(", ")}.`);
    }
    return new Mien(predictor, chosen);
  }

  /** Return the faces of a picture, the largest first, with boxes in its pixels. */
  predict(picture: Picture): Promise<Face[]> {
    return this.#inTurn(async () => {
      const faces = await this.predictor.predictImage(await this.#read(picture), []);
      return faces.map((face) => this.#face(face));
    });
  }

  /**
   * Track the faces of a camera or video. Returns a function: call it with each frame, in order, and its time in
   * seconds. `isLive` allows a slow machine to search for small faces less often.
   */
  follow({ isLive = true } = {}): (picture: Picture, seconds: number) => Promise<TrackedFace[]> {
    const tracker = new Tracker();
    const predictFrame = this.predictor.startVideo(isLive);
    return (picture, seconds) => this.#inTurn(async () => {
      if (!Number.isFinite(seconds)) throw new MienError("time", `The time of the frame is ${seconds}; give it in seconds.`);
      const faces = await predictFrame(await this.#read(picture), tracker.known(), seconds);
      const tracks = tracker.update(faces.flatMap(({ box, ...face }) => (box ? [{ box, ...face }] : [])), seconds);
      return tracks.map((track) => ({ track: track.number, ...this.#face(track) }));
    });
  }

  /** Free the memory of the networks. The object can then make no predictions. */
  dispose(): Promise<void> {
    return (this.#freeing ??= this.#inTurn(() => {
      this.#isFreed = true;
      return this.predictor.dispose();
    }));
  }

  #face(face: Parameters<typeof predictionOf>[1]): Face {
    return predictionOf("", face, this.output, schemesFor(this.output)[0]!) as Face;
  }

  async #read(picture: Picture): Promise<DecodedImage> {
    if (this.#isFreed) throw new MienError("disposed", "dispose() has freed the networks. Load them again.");
    // As from a selector that finds no element.
    if (!picture || typeof picture !== "object") throw new MienError("image-type", `The picture is ${picture}.`);
    if (picture instanceof Blob) {
      return openImage(picture).catch((cause: unknown) => {
        if (!(cause instanceof PageError && cause.code in REFUSALS)) throw cause;
        const code = cause.code as keyof typeof REFUSALS;
        throw new MienError(code, REFUSALS[code], { cause });
      });
    }
    const { width, height } = sizeOf(picture);
    if (typeof width !== "number" || "data" in picture) {
      throw new MienError("image-type", "A picture is a Blob or File, an image, video, canvas, ImageBitmap or VideoFrame. Of ImageData: await createImageBitmap(it).");
    }
    if (!width || !height) throw new MienError("image-size", "The picture has no pixels yet. Await its decode(), or a video's first frame.");
    Object.assign(this.#canvas, { width, height });
    const context = this.#canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, 0, 0, width, height);
    return { source: this.#canvas, width, height, pixels: context.getImageData(0, 0, width, height) };
  }
}

/** Draw boxes and answers of faces on a canvas that has the size of their picture. A box in doubt is dashed. */
export function draw(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  faces: Face[],
  { colours = {}, lineWidth = 2, font = "16px sans-serif" }: { colours?: Record<string, string>; lineWidth?: number; font?: string } = {},
): void {
  context.save();
  Object.assign(context, { lineWidth, font, textBaseline: "bottom" });
  for (const { answer, confidence, top, probabilities, box, alternatives, in_doubt } of faces) {
    const isExpression = answer === top && answer !== NOT_A_FACE;
    const colour = colours[answer] ?? (isExpression ? colourOf(top, Object.keys(probabilities).indexOf(top)) : "white");
    const share = confidence >= 0.995 && confidence < 1 ? ">99%" : `${Math.round(100 * confidence)}%`;
    const either = [[answer, ...alternatives.slice(0, -1)].join(", "), ...alternatives.slice(-1)].join(" or ");
    const text = !isExpression ? answer : alternatives.length ? either : `${answer} ${share}`;
    context.strokeStyle = context.fillStyle = colour;
    context.setLineDash(in_doubt ? [3 * lineWidth, 2 * lineWidth] : []);
    context.strokeRect(box.left, box.top, box.width, box.height);
    // Above the box, or inside it at the upper edge of the picture.
    const { fontBoundingBoxAscent: above, fontBoundingBoxDescent: below } = context.measureText(text);
    context.fillText(text, box.left, Math.max(box.top - lineWidth, above + below));
  }
  context.restore();
}

function sizeOf(picture: Exclude<Picture, Blob>): { width: number; height: number } {
  // Do not test with instanceof: a worker has no elements, and some browsers have no VideoFrame.
  if ("naturalWidth" in picture) return { width: picture.naturalWidth, height: picture.naturalHeight };
  if ("videoWidth" in picture) return { width: picture.videoWidth, height: picture.videoHeight };
  if ("displayWidth" in picture) return { width: picture.displayWidth, height: picture.displayHeight };
  return picture;
}
