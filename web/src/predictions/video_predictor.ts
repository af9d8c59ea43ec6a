/** Predictions on a camera or a video, frame by frame, for as long as it runs. */

import type { Box } from "../faces/box";
import type { Probabilities } from "../model/outputs";
import { Frames } from "../sources/frames";
import type { ImagePredictions } from "./image_predictions";
import type { Predictor } from "./predictor";
import { type Track, Tracker } from "./tracker";

/** The probabilities of one face in one frame. */
export interface FaceInFrame {
  seconds: number;
  number: number;
  box: Box;
  score: number | null;
  probabilities: Probabilities;
}

/** The latest are kept: about half an hour of one face. */
const MAX_KEPT = 50_000;

/** Throughput is measured over this many frames. */
const RECENT_FRAMES = 30;

export class VideoPredictor {
  /** Every face of every frame, in the order of frames. */
  readonly entries: FaceInFrame[] = [];
  /** How many entries before these are no longer kept. */
  dropped = 0;
  frames = 0;
  readonly #tracker = new Tracker();
  readonly #frames: Frames;
  #recent: { end: number; duration: number }[] = [];

  constructor(
    readonly source: string,
    private readonly predictor: Predictor,
    video: HTMLVideoElement,
  ) {
    this.#frames = new Frames(video);
  }

  /** Calls `show` after each frame, until stopped. */
  async run(show: (predictions: ImagePredictions) => void): Promise<void> {
    let faces: Track[] = [];
    await this.#frames.forEach(async (frame, seconds) => {
      const start = performance.now();
      const predicted = await this.predictor.predictFrame(frame, faces.map(({ box }) => box));
      const boxed = predicted.flatMap(({ box, ...rest }) => (box ? [{ box, ...rest }] : []));
      const tracks = this.#tracker.update(boxed, seconds);
      faces = this.#tracker.shown(seconds);
      this.entries.push(...tracks.map(({ crop: _, ...face }) => ({ ...face, seconds })));
      if (this.entries.length > MAX_KEPT) this.dropped += this.entries.splice(0, this.entries.length - MAX_KEPT).length;
      this.#count(start);
      show({ source: this.source, width: frame.width, height: frame.height, faces });
    });
  }

  stop(): void {
    this.#frames.stop();
  }

  /** Frames per second, and milliseconds per frame, over the latest frames; null before there are two. */
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
