import type { DecodedImage, Drawable } from "../preprocess/image";
import { type Box, type DetectedFace, iou, mergeAgreeing, suppressOverlaps } from "./box";
import { workingCopy } from "./brightness";
import { Checker, reframed } from "./checker";
import { copySide, Proposer } from "./proposer";

/** The lowest score of a face, unless the user chooses a higher one. As in mien.faces.network. */
export const MIN_SCORE = 0.45;

/** As in mien.faces.network. */
const AGREEING_IOU = 0.4;
const NMS_IOU = 0.3;

/** Longer sides of the copies of a still image in which faces are looked for, and of the copies that are rotated. */
const IMAGE_PX = [320, 640, 1280];
const TILTED = { side: 416, degrees: [30, -30] };

/** Each frame of a video is resized to this longer side; the first network needs faces of about 30 pixels. */
const FRAME_PX = 320;

/** Small faces are looked for in some frames, at one of these sizes after the other. */
const SMALL_FACES_PX = [640, 1280];

/** New faces are looked for this often. In between, those that are known are checked, which corrects their boxes too. */
const LOOK_EVERY_SECONDS = 0.2;

/** Small ones are looked for this often, and live for at most a fifth of the time. */
const SMALL_FACES_EVERY = { seconds: 0.4, durations: 5 };

/** The best proposals, which are checked; of a frame so many known faces too. */
const MAX_PROPOSALS = { image: 1000, frame: 8 };

/** A face of the frame before counts as proposed with this score: the check decides whether it is still there. */
const KNOWN_SCORE = 0.5;

/** Detects faces as mien.faces.network does: one network proposes them in copies of the image, another checks them. */
export class Detector {
  minScore = MIN_SCORE;
  readonly #canvas = new OffscreenCanvas(1, 1);
  #isLive = false;
  #nextLook = 0;
  #smallFacesLooks = 0;
  #nextSmallFaces = 0;

  private constructor(
    private readonly proposer: Proposer,
    private readonly checker: Checker,
  ) {}

  static async load(): Promise<Detector> {
    return new Detector(...(await Promise.all([Proposer.load(), Checker.load()])));
  }

  /** Faces in a still image, the largest first; boxes in whole pixels of the image. */
  async detectInImage(image: DecodedImage): Promise<DetectedFace[]> {
    const copy = this.#copyOf(image);
    const looks: DetectedFace[][] = [];
    for (const side of new Set(IMAGE_PX.map((each) => copySide(copy, each)))) looks.push(await this.proposer.look(copy, side));
    for (const degrees of TILTED.degrees) looks.push(await this.proposer.lookTilted(copy, TILTED.side, degrees));
    let faces = await this.#checked(copy, looks, MAX_PROPOSALS.image);
    if (!faces.length) faces = await this.#checked(copy, [await this.proposer.lookFromAfar(copy)], MAX_PROPOSALS.image);
    return inPixelsOf(image, copy, faces);
  }

  /** Before the first frame of a camera, which is live, or of a video file, whose result must not depend on the machine. */
  startVideo(isLive: boolean): void {
    this.#isLive = isLive;
    this.#nextLook = this.#nextSmallFaces = this.#smallFacesLooks = 0;
  }

  /**
   * The same in a frame of a video: upright, and not in each frame. `known` are the boxes of the faces in the frames before,
   * which need no proposal; `seconds` is the frame's time.
   */
  async detectInFrame(frame: DecodedImage, known: Box[], seconds: number): Promise<DetectedFace[]> {
    const copy = this.#copyOf(frame);
    const looks: DetectedFace[][] = [];
    if (seconds >= this.#nextLook || !known.length) {
      looks.push(await this.proposer.look(copy, FRAME_PX));
      this.#nextLook = seconds + LOOK_EVERY_SECONDS;
    }
    if (seconds >= this.#nextSmallFaces) {
      const side = SMALL_FACES_PX[this.#smallFacesLooks++ % SMALL_FACES_PX.length]!;
      const start = performance.now();
      looks.push(await this.proposer.look(copy, side));
      const taken = (performance.now() - start) / 1000;
      const pause = this.#isLive ? SMALL_FACES_EVERY.durations * taken : 0;
      this.#nextSmallFaces = seconds + Math.max(SMALL_FACES_EVERY.seconds, pause);
    }
    const before = inPixelsOf(copy, frame, known.map((box) => ({ box, score: KNOWN_SCORE })));
    return inPixelsOf(frame, copy, await this.#checked(copy, looks, MAX_PROPOSALS.frame, before));
  }

  #copyOf(image: DecodedImage): Drawable {
    return workingCopy(image, Math.max(...IMAGE_PX), this.#canvas);
  }

  async #checked(image: Drawable, looks: DetectedFace[][], most: number, known: DetectedFace[] = []): Promise<DetectedFace[]> {
    const proposals = mergeAgreeing(looks, AGREEING_IOU).slice(0, most).map(reframed);
    // What is proposed again, and as surely, need not be checked twice.
    const isProposed = ({ box, score }: DetectedFace) =>
      proposals.some((each) => each.score >= score && iou(each.box, box) > AGREEING_IOU);
    const others = known.filter((face) => !isProposed(face)).slice(0, most);
    const faces = await this.checker.check(image, [...proposals, ...others]);
    return suppressOverlaps(faces, NMS_IOU).filter(({ score }) => score >= this.minScore);
  }
}

/** Boxes in whole pixels of the image, from those in pixels of a copy of another size. */
function inPixelsOf(image: Drawable, copy: Drawable, faces: DetectedFace[]): DetectedFace[] {
  const [across, down] = [image.width / copy.width, image.height / copy.height];
  return faces.map(({ score, box }) => ({
    score,
    box: {
      left: Math.round(box.left * across),
      top: Math.round(box.top * down),
      width: Math.max(Math.round(box.width * across), 1),
      height: Math.max(Math.round(box.height * down), 1),
    },
  }));
}
