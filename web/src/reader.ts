/** From a picture to what is read in its faces: the way through the page's networks. */

import type { Box } from "./faces/box";
import { cut, squareAround } from "./faces/crop";
import { Detector, type Drawable, FRAME_PX, PICTURE_PX } from "./faces/detector";
import { Classifier } from "./model/classifier";
import type { Manifest } from "./model/manifest";
import { toGrey } from "./pixels/grey";
import type { Colours } from "./pixels/image";
import { greySquare } from "./pixels/square";

/** A picture that can be drawn, and its pixels. */
export interface Picture extends Drawable {
  pixels: Colours;
}

export interface ReadFace {
  /** null where the whole picture was read as one face. */
  box: Box | null;
  /** The grey square that the model read, size_px * size_px numbers. */
  square: Uint8Array;
  /** One probability a class of the model. */
  shares: number[];
}

export class Reader {
  private constructor(
    private readonly classifier: Classifier,
    private readonly detector: Detector,
  ) {}

  static async load(): Promise<Reader> {
    const [classifier, detector] = await Promise.all([Classifier.load(), Detector.load()]);
    return new Reader(classifier, detector);
  }

  get manifest(): Manifest {
    return this.classifier.manifest;
  }

  /** The faces of a still picture, which is looked at twice where none is found at first. */
  async readPicture(picture: Picture): Promise<ReadFace[]> {
    let found = await this.detector.detect(picture, PICTURE_PX);
    if (!found.length) found = await this.detector.detectCloseUp(picture);
    return this.#readBoxes(picture, found.map(({ box }) => box));
  }

  /** The faces of a frame of a video, which has to be fast. */
  async readFrame(frame: Picture): Promise<ReadFace[]> {
    const found = await this.detector.detect(frame, FRAME_PX);
    return this.#readBoxes(frame, found.map(({ box }) => box));
  }

  /** A picture that is a face already. */
  async readWhole(picture: Picture): Promise<ReadFace[]> {
    const square = greySquare(toGrey(picture.pixels), this.manifest.input.size_px);
    const [shares] = await this.probabilities([square]);
    return [{ box: null, square, shares: shares! }];
  }

  probabilities(squares: Uint8Array[]): Promise<number[][]> {
    return this.classifier.probabilities(squares);
  }

  async #readBoxes(picture: Picture, boxes: Box[]): Promise<ReadFace[]> {
    const side = this.manifest.input.size_px;
    const squares = boxes.map((box) => greySquare(cut(picture.pixels, squareAround(box)), side));
    const answers = await this.probabilities(squares);
    return boxes.map((box, index) => ({ box, square: squares[index]!, shares: answers[index]! }));
  }
}
