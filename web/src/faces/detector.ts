import { extended, fitted, resizeColour } from "../preprocess/colour_resize";
import { type DecodedImage, type RgbaImage, roundHalfEven } from "../preprocess/image";
import { queue } from "../queue";
import { type Box, type DetectedFace, iou, mergeAgreeing, suppressOverlaps } from "./box";
import { brightened } from "./brightness";
import { Checker, reframed } from "./checker";
import type { Look } from "./look";
import { copySide, Proposer } from "./proposer";

/** Lowest score of a face, unless the user chooses a higher one. As in mien.faces.network. */
const MIN_SCORE = 0.45;

/** As in mien.faces.network. */
const AGREEING_IOU = 0.4;
const NMS_IOU = 0.3;

/** Copies of a still image in which faces are searched. All values are those of mien.faces.network. */
const FIRST_PX = 320;
const CLOSER = [
  { side: 640, hint: 0.005 },
  { side: 1280, hint: 0.006 },
];
const TILTED = { side: 416, degrees: [30, -30] };
const LARGEST_PX = 1280;
const MIN_STEP = 1.25;
const SURE = 0.6;
const LARGE = 0.15;
const SEEN = 0.5;
const TILTED_HINT = 0.02;
const KNOWN = 0.9;

/** Search for a face that fills the image. As in mien.faces.network. */
const CLOSE_UP = { sides: [96, 128, 192, 256], border: 1 / 3, minScore: 0.7 };

/** Each frame of a video is resized to this longer side; the first network needs faces of about 30 pixels. */
const FRAME_PX = 320;

/** Seconds between searches for new faces; without known faces every frame is searched. */
const LOOK_EVERY_SECONDS = 0.2;

/** Seconds between searches for small faces in a live video; the searches take at most a fifth of the time. */
const SMALL_FACES_EVERY = { seconds: 0.4, durations: 5 };

/** Largest number of proposals that are checked. */
const MAX_PROPOSALS = { image: 1000, frame: 8 };

/** Score of a known face as a proposal; the check decides whether it is still there. */
const KNOWN_SCORE = 0.5;

/** Detects faces in the frames of one video. `known` are the boxes of faces in earlier frames; `seconds` is the frame's time. */
type FrameDetector = (frame: DecodedImage, known: Box[], seconds: number) => Promise<DetectedFace[]>;

/** When new faces of a video are searched next, in seconds of the video. */
interface Schedule {
  isLive: boolean;
  nextLook: number;
  nextSmallFaces: number;
}

/** Detects faces as mien.faces.network does: one network proposes them in copies of the image, another checks them. */
export class Detector {
  minScore = MIN_SCORE;
  /** One image after another: two at once would show the first one later. */
  readonly #inTurn = queue();

  private constructor(
    private readonly proposer: Proposer,
    private readonly checker: Checker,
  ) {}

  static async load(): Promise<Detector> {
    return new Detector(...(await Promise.all([Proposer.load(), Checker.load()])));
  }

  async dispose(): Promise<void> {
    await Promise.all([this.proposer.dispose(), this.checker.dispose()]);
  }

  /** Faces in a still image, the largest first; boxes in whole pixels of the image. */
  detectInImage(image: DecodedImage): Promise<DetectedFace[]> {
    return this.#inTurn(async () => {
      const copy = fittingCopy(brightened(image.pixels));
      const faces = await this.#checked(copy, await this.#proposals(copy));
      return this.#chosen(image, copy, faces.length ? faces : await this.#closeUp(copy));
    });
  }

  /** Propose faces in a still image: the first copy is searched everywhere, larger ones where faces may be missing. */
  async #proposals(copy: RgbaImage): Promise<DetectedFace[][]> {
    const longer = Math.max(copy.width, copy.height);
    const first = await this.proposer.look(copy, copySide(copy, FIRST_PX));
    const isLarge = ({ width, height }: Box) => Math.sqrt(width * height) >= LARGE * longer;
    const large = boxesFrom(first.faces, SURE).filter(isLarge);
    const proposals = [first.faces, ...(await this.#closer(copy, first, large, LARGEST_PX))];
    const known = [...large, ...boxesFrom(mergeAgreeing(proposals, AGREEING_IOU), KNOWN)];
    const areas = first.areas(first.highest, TILTED_HINT, known);
    for (const degrees of TILTED.degrees) {
      proposals.push(await this.proposer.lookTilted(copy, copySide(copy, TILTED.side), areas, degrees));
    }
    return proposals;
  }

  /** Propose faces in larger copies, up to `largest` pixels: everywhere, or at hints beside known faces. */
  async #closer(copy: RgbaImage, first: Look, known: Box[], largest: number): Promise<DetectedFace[][]> {
    const looks = [first];
    for (const { side, hint } of CLOSER) {
      const before = looks.at(-1)!;
      if (MIN_STEP * before.side >= copySide(copy, largest)) break;
      const seen = [...known, ...boxesFrom(before.faces, SEEN)];
      const areas = before === first && !known.length ? undefined : before.areas(before.smallest, hint, seen);
      looks.push(await this.proposer.look(copy, copySide(copy, Math.min(side, largest)), areas));
    }
    return looks.slice(1).map(({ faces }) => faces);
  }

  /** Find a face that fills the image, in a small copy with mirrored borders. */
  async #closeUp(copy: RgbaImage): Promise<DetectedFace[]> {
    const small = resizeColour(copy, ...fitted(copy, copySide(copy, FIRST_PX)));
    const longer = Math.max(small.width, small.height);
    const border = roundHalfEven(CLOSE_UP.border * longer);
    const padded = extended(small, small.width + 2 * border, small.height + 2 * border, mirrored(small.width, border), mirrored(small.height, border));
    const looks: DetectedFace[][] = [];
    for (const side of CLOSE_UP.sides) looks.push((await this.proposer.look(padded, side)).faces);
    const faces = await this.#checked(padded, looks);
    const scale = Math.max(copy.width, copy.height) / longer;
    return faces.filter(({ score }) => score >= CLOSE_UP.minScore).map((face) => moved(face, border, [scale, scale]));
  }

  /**
   * Start a camera (live) or a video file, whose results must not depend on the machine. In its frames only upright faces
   * are detected, and new ones only in some frames. Known faces need no proposal.
   */
  startVideo(isLive: boolean): FrameDetector {
    const schedule = { isLive, nextLook: 0, nextSmallFaces: 0 };
    let latest = 0;
    return (frame, known, seconds) => this.#inTurn(() => {
      // The video has jumped back.
      if (seconds < latest) schedule.nextLook = schedule.nextSmallFaces = 0;
      latest = seconds;
      return this.#detectInFrame(frame, known, seconds, schedule);
    });
  }

  async #detectInFrame(frame: DecodedImage, known: Box[], seconds: number, schedule: Schedule): Promise<DetectedFace[]> {
    const whole = brightened(frame.pixels);
    const before = inPixelsOf(whole, frame, known.map((box) => ({ box, score: KNOWN_SCORE })));
    const found = await this.checker.follow(whole, before);
    const still = this.#suppressed(found);
    if (still.length && seconds < schedule.nextLook) return this.#chosen(frame, whole, still);
    // To resize a large frame takes longer than all before, so it is done only for a search.
    const copy = fittingCopy(whole);
    const scale: [number, number] = [copy.width / whole.width, copy.height / whole.height];
    const [faces, followed] = [found, still].map((all) => all.map((face) => moved(face, 0, scale))) as [DetectedFace[], DetectedFace[]];
    const looks = await this.#looksAtFrame(copy, boxesFrom(followed, 0), seconds, schedule);
    const proposals = mergeAgreeing(looks, AGREEING_IOU).map(reframed);
    const others = proposals.filter((face) => !followed.some(({ box }) => iou(box, face.box) > AGREEING_IOU));
    faces.push(...(await this.checker.check(copy, others.slice(0, MAX_PROPOSALS.frame))));
    return this.#chosen(frame, copy, this.#suppressed(faces));
  }

  async #looksAtFrame(copy: RgbaImage, known: Box[], seconds: number, schedule: Schedule): Promise<DetectedFace[][]> {
    const first = await this.proposer.look(copy, copySide(copy, FRAME_PX));
    schedule.nextLook = seconds + LOOK_EVERY_SECONDS;
    if (seconds < schedule.nextSmallFaces) return [first.faces];
    const start = performance.now();
    // Do not enlarge a camera's frame, which would stop the picture for half a second on a slow machine.
    const largest = schedule.isLive ? Math.max(copy.width, copy.height) : LARGEST_PX;
    const closer = await this.#closer(copy, first, known, largest);
    const taken = (performance.now() - start) / 1000;
    const pause = schedule.isLive ? SMALL_FACES_EVERY.durations * taken : 0;
    schedule.nextSmallFaces = seconds + Math.max(SMALL_FACES_EVERY.seconds, pause);
    return [first.faces, ...closer];
  }

  async #checked(image: RgbaImage, looks: DetectedFace[][]): Promise<DetectedFace[]> {
    const proposals = mergeAgreeing(looks, AGREEING_IOU).slice(0, MAX_PROPOSALS.image).map(reframed);
    return this.#suppressed(await this.checker.check(image, proposals));
  }

  #suppressed(faces: DetectedFace[]): DetectedFace[] {
    return suppressOverlaps(faces, NMS_IOU).filter(({ score }) => score >= Math.min(MIN_SCORE, this.minScore));
  }

  /** A higher limit of the user comes last: where faces are searched does not depend on it. */
  #chosen(image: DecodedImage, copy: RgbaImage, faces: DetectedFace[]): DetectedFace[] {
    return inPixelsOf(image, copy, faces.filter(({ score }) => score >= this.minScore));
  }
}

function fittingCopy(image: RgbaImage): RgbaImage {
  return Math.max(image.width, image.height) > LARGEST_PX ? resizeColour(image, ...fitted(image, LARGEST_PX)) : image;
}

function boxesFrom(faces: DetectedFace[], minScore: number): Box[] {
  return faces.filter(({ score }) => score >= minScore).map(({ box }) => box);
}

/** The place in an image of a place in the image with a mirrored border. */
function mirrored(size: number, border: number): (place: number) => number {
  return (place) => {
    const at = (((place - border) % (2 * size)) + 2 * size) % (2 * size);
    return Math.min(at, 2 * size - 1 - at);
  };
}

/** Convert boxes in pixels of a copy to whole pixels of the image. */
function inPixelsOf(image: { width: number; height: number }, copy: { width: number; height: number }, faces: DetectedFace[]): DetectedFace[] {
  const scale: [number, number] = [image.width / copy.width, image.height / copy.height];
  return faces.map((each) => {
    const face = moved(each, 0, scale);
    const { left, top, width, height } = face.box;
    const [wide, high] = [Math.max(roundHalfEven(width), 1), Math.max(roundHalfEven(height), 1)];
    return { ...face, box: { left: roundHalfEven(left), top: roundHalfEven(top), width: wide, height: high } };
  });
}

/** Convert a face of a copy with a border to an image without border, scaled by `across` and `down`. */
function moved({ box, features, score }: DetectedFace, border: number, [across, down]: [number, number]): DetectedFace {
  const point = ([x, y]: [number, number]): [number, number] => [(x - border) * across, (y - border) * down];
  const [left, top] = point([box.left, box.top]);
  const placed = { box: { left, top, width: box.width * across, height: box.height * down }, score };
  if (!features) return placed;
  const landmarks = Object.entries(features.landmarks ?? {}).map(([name, at]) => [name, point(at)]);
  return { ...placed, features: { eyes: point(features.eyes), mouth: point(features.mouth), landmarks: Object.fromEntries(landmarks) } };
}
