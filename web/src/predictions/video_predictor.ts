/** Predictions on a camera or a video file, frame by frame. */

import { sharedWithSmaller } from "../faces/box";
import { ClipFrames, type Frames } from "../sources/frames";
import type { ImagePredictions, Predictor } from "./predictor";
import { MAX_COVERED, SHOWN_SECONDS, type Track, Tracker } from "./tracker";

/** Largest number of entries that are kept: about half an hour of one face. */
const MAX_KEPT = 50_000;

/** Throughput is measured over this many frames. */
const RECENT_FRAMES = 30;

export class VideoPredictor {
  /** All faces of all frames, in the order of frames. In a video file they have their crops, for explanations. */
  readonly entries: Track[] = [];
  frames = 0;
  /** Frames of the file; null for a camera. */
  readonly clip: ClipFrames | null;
  readonly #tracker = new Tracker();
  #size = { width: 1, height: 1 };
  #recent: { end: number; duration: number }[] = [];

  constructor(
    readonly source: string,
    private readonly predictor: Predictor,
    private readonly frameSource: Frames,
  ) {
    this.clip = frameSource instanceof ClipFrames ? frameSource : null;
  }

  /** Predict each frame, and call `show` after it, until the last one or until stopped. */
  async run(show: (predictions: ImagePredictions) => void): Promise<void> {
    const predictFrame = this.predictor.startVideo(!this.clip);
    await this.frameSource.forEach(async (frame, seconds) => {
      const start = performance.now();
      const predicted = await predictFrame(frame, this.#tracker.known(), seconds);
      const boxed = predicted.flatMap(({ box, ...rest }) => (box ? [{ box, ...rest }] : []));
      const tracks = this.#tracker.update(boxed, seconds);
      this.entries.push(...tracks.map((face) => (this.clip ? face : { ...face, crop: NO_CROP })));
      this.entries.splice(0, this.entries.length - MAX_KEPT);
      this.#size = { width: frame.width, height: frame.height };
      this.#count(start);
      show({ source: this.source, ...this.#size, faces: this.#tracker.shown(seconds) });
    });
  }

  stop(): void {
    this.frameSource.stop();
  }

  /** The predictions of the frame at a time, in seconds, including faces missed for a moment. */
  at(seconds: number): ImagePredictions {
    const faces: Track[] = [];
    let latest = -1;
    // A slow video shows each frame longer.
    const shown = Math.max(SHOWN_SECONDS, 1 / (this.clip?.rate ?? Infinity));
    for (let index = this.entries.findLastIndex((face) => face.seconds <= seconds); index >= 0; index -= 1) {
      const face = this.entries[index]!;
      if (seconds - face.seconds > shown) break;
      latest = Math.max(latest, face.seconds);
      const isShown = faces.some(({ number, box }) => number === face.number || sharedWithSmaller(box, face.box) > MAX_COVERED);
      if (face.seconds === latest || !isShown) faces.unshift(face);
    }
    return { source: this.source, ...this.#size, faces };
  }

  /** Frames per second, and milliseconds per frame, over the latest frames; null with less than two frames. */
  throughput(): { rate: number; milliseconds: number } | null {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (!first || !last || first === last) return null;
    const rate = (1000 * (this.#recent.length - 1)) / (last.end - first.end);
    const total = this.#recent.reduce((sum, { duration }) => sum + duration, 0);
    return { rate, milliseconds: total / this.#recent.length };
  }

  #count(start: number): void {
    const end = performance.now();
    this.frames += 1;
    this.#recent = [...this.#recent, { end, duration: end - start }].slice(-RECENT_FRAMES);
  }
}

/** Used instead of a camera's crops, which would fill the memory. */
const NO_CROP = new Uint8Array();
