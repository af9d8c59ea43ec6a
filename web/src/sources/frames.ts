import type { DecodedImage } from "../preprocess/image";

/** Frames of a video element, one after another. */
export abstract class Frames {
  protected isRunning = true;
  /** Ends the wait for the next frame. */
  protected wake: () => void = () => {};
  readonly #canvas = new OffscreenCanvas(1, 1);

  constructor(protected readonly video: HTMLVideoElement) {}

  stop(): void {
    this.isRunning = false;
    this.wake();
  }

  /** Calls `use` with each frame and its time in the video, until the last one or until stopped. */
  abstract forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void>;

  /** Waits until the browser shows another frame. Returns that frame's time; null where `stop` came first. */
  protected next(): Promise<number | null> {
    if (!this.isRunning) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.wake = () => resolve(null);
      this.video.requestVideoFrameCallback((_, { mediaTime }) => resolve(this.isRunning ? mediaTime : null));
    });
  }

  protected capture(): DecodedImage {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    const context = this.#canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
    context.drawImage(this.video, 0, 0);
    return { source: this.#canvas, width, height, pixels: context.getImageData(0, 0, width, height) };
  }
}

/** The newest frame of a camera, as often as there is time for one. */
export class CameraFrames extends Frames {
  async forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void> {
    let next = this.next();
    // A frame that came before the stop has a time.
    while ((await next) !== null && this.isRunning) {
      // Asked for before this one is used: one that comes meanwhile is taken at once, instead of the one after it.
      next = this.next();
      await use(this.capture(), this.video.currentTime);
    }
  }
}

/** The rate is measured on so many frames, played at this speed: a busy machine shows each of them. */
const MEASURED = { frames: 8, speed: 0.5 };

/** Of a video with a higher rate every second frame is taken, and so on. */
const MAX_RATE = 30;

/** The rate of a video that is too short to measure it. */
const USUAL_RATE = 25;

/** Longest wait for a frame: the last one may have been shown already. */
const PATIENCE_MILLISECONDS = 1000;

/** Every frame of a video file, however long each takes: the video waits. */
export class ClipFrames extends Frames {
  /** How many there are, and how many a second; 0 until that is measured. */
  count = 0;
  rate = 0;

  async forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void> {
    const { video } = this;
    this.rate = await this.#measureRate();
    // Recordings of browsers do not say how long they are, until one looks for their end.
    if (!Number.isFinite(video.duration)) await this.#seek(Number.MAX_SAFE_INTEGER);
    this.count = Math.max(Math.round(video.duration * this.rate), 1);
    for (let index = 0; this.isRunning && index < this.count; index += 1) {
      // The middle of the time for which a frame is shown.
      await this.#seek((index + 0.5) / this.rate);
      if (this.isRunning) await use(this.capture(), index / this.rate);
    }
  }

  /** Frames a second, in whole numbers; of a video that plays from its start. */
  async #measureRate(): Promise<number> {
    const { video } = this;
    const times: number[] = [];
    video.playbackRate = MEASURED.speed;
    while (times.length < MEASURED.frames) {
      const time = await Promise.race([this.next(), later(null)]);
      if (time === null) break;
      times.push(time);
    }
    video.pause();
    video.playbackRate = 1;
    const gaps = times.slice(1).map((time, index) => time - times[index]!).filter((gap) => gap > 0);
    if (!gaps.length) return USUAL_RATE;
    // A gap over a frame that was not shown counts as two.
    const shortest = Math.min(...gaps);
    const total = gaps.reduce((sum, gap) => sum + gap, 0);
    const rate = Math.max(Math.round(gaps.reduce((sum, gap) => sum + Math.round(gap / shortest), 0) / total), 1);
    return rate / Math.ceil(rate / MAX_RATE);
  }

  #seek(seconds: number): Promise<void> {
    const { video } = this;
    return new Promise((resolve) => {
      this.wake = resolve;
      video.addEventListener("seeked", () => resolve(), { once: true });
      video.currentTime = seconds;
    });
  }
}

function later<Value>(value: Value): Promise<Value> {
  return new Promise((resolve) => setTimeout(resolve, PATIENCE_MILLISECONDS, value));
}
