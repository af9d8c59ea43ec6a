/** From a picture to what is read in its faces: the way through the page's networks. */

import type { Box, FoundFace } from "./faces/box";
import { cut, squareAround } from "./faces/crop";
import { Detector, type Drawable } from "./faces/detector";
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

/** Why the networks could not be loaded. */
export class LoadFault extends Error {}

export class Reader {
  private constructor(
    private readonly classifier: Classifier,
    private readonly detector: Detector,
  ) {}

  /** Load both networks. Raises LoadFault. */
  static async load(): Promise<Reader> {
    try {
      const [classifier, detector] = await Promise.all([Classifier.load(), Detector.load()]);
      return new Reader(classifier, detector);
    } catch (error) {
      throw new LoadFault(String((error as Error).message ?? error));
    }
  }

  get manifest(): Manifest {
    return this.classifier.manifest;
  }

  async readPicture(picture: Picture): Promise<ReadFace[]> {
    return this.#readBoxes(picture, await this.detector.inPicture(picture));
  }

  async readFrame(frame: Picture): Promise<ReadFace[]> {
    return this.#readBoxes(frame, await this.detector.inFrame(frame));
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

  async #readBoxes(picture: Picture, found: FoundFace[]): Promise<ReadFace[]> {
    const side = this.manifest.input.size_px;
    const squares = found.map(({ box }) => greySquare(cut(picture.pixels, squareAround(box)), side));
    const answers = await this.probabilities(squares);
    return found.map(({ box }, index) => ({ box, square: squares[index]!, shares: answers[index]! }));
  }
}
