import { PageError } from "../page_error";
import type { DecodedImage } from "../preprocess/image";

/** Frames of a video element, one after another. */
export abstract class Frames {
  protected isRunning = true;
  /** Stop waiting for the next frame. */
  protected wake: () => void = () => {};
  readonly #canvas = new OffscreenCanvas(1, 1);

  constructor(protected readonly video: HTMLVideoElement) {}

  stop(): void {
    this.isRunning = false;
    this.wake();
  }

  /** Call `use` with each frame and its time in the video, until the last one or until stopped. */
  abstract forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void>;

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

/** Frames of a camera, always the newest one; slow predictions skip frames. */
export class CameraFrames extends Frames {
  async forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void> {
    // The time of the newest frame that was not used. The video's current time may be that of the frame after it.
    let newest = null as number | null;
    let tell = () => {};
    const watch = () =>
      this.video.requestVideoFrameCallback((_, { mediaTime }) => {
        newest = mediaTime;
        tell();
        if (this.isRunning) watch();
      });
    watch();
    while (this.isRunning) {
      if (newest === null) await new Promise<void>((resolve) => (this.wake = tell = resolve));
      // A frame that was shown before the stop may still arrive.
      if (newest === null || !this.isRunning) return;
      const seconds = newest;
      newest = null;
      await use(this.capture(), seconds);
    }
  }
}

/** The frame rate is measured over so many frames, at a speed at which even a busy machine shows each frame. */
const MEASURED = { frames: 8, speed: 0.5 };

/** From a video with a higher frame rate, only every second frame is used, or every third, and so on. */
const MAX_RATE = 30;

/** Assumed rate of a video that is too short to measure. */
const USUAL_RATE = 25;

/** Longest wait for a frame, as the last one may have been shown before, or for the end. */
const PATIENCE_MILLISECONDS = 1000;

const TURN_MILLISECONDS = 20;

/** Longest wait for a frame that a busy browser shows late, and the largest number of such waits in a row. */
const LATE = { milliseconds: 100, places: 3 };

/** Below this rate a seek is faster than to play on to the next frame. */
const MIN_PLAYED_RATE = 12;

/** Every frame of a video file; the video waits for slow predictions. */
export class ClipFrames extends Frames {
  /** Number of frames, and frames per second; 0 until they are measured. */
  count = 0;
  rate = 0;
  /** Half of the time that the file shows a frame, in seconds; the rate may be a part of the file's. */
  #half = 0;
  /** Time in seconds of the frame that was reached when one was passed: there may be none before it. */
  #passed = 0;

  async forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void> {
    const { video } = this;
    const native = await this.#measureRate();
    this.rate = native / Math.ceil(native / MAX_RATE);
    this.#half = 0.5 / native;
    // Recordings made by browsers have no known duration until their end is sought.
    if (video.duration === Infinity) await this.#seek(Number.MAX_SAFE_INTEGER);
    // Half a frame too many would be sought at the very end.
    this.count = Math.max(Math.ceil(video.duration * this.rate - 0.5), 1);
    let frame: DecodedImage | null = null;
    let time = NaN;
    // Places at which the browser still shows the frame before them.
    let held: number[] = [];
    let longest = 0;
    const useHeld = async () => {
      for (const index of held) if (this.isRunning) await use(frame!, index / this.rate);
    };
    for (let index = 0; this.isRunning && index < this.count; index += 1) {
      await this.#show(index, index > 0 && index < this.count - 1 && !held.length);
      if (!this.isRunning) return;
      // A busy browser shows a frame a little after it was sought.
      const isStill = held.length >= LATE.places || (held.length > 0 && this.#middleOf(index) < this.#passed);
      if (!isStill && !document.hidden) await this.#until(() => this.#shownTime() !== time, LATE.milliseconds);
      if (!this.isRunning) return;
      const shown = this.#shownTime();
      if (shown === time) {
        held.push(index);
        continue;
      }
      longest = Math.max(longest, held.length);
      await useHeld();
      if (!this.isRunning) return;
      [held, time, frame] = [[], shown, this.capture()];
      await use(frame, index / this.rate);
    }
    if (!this.isRunning) return;
    // A file that was cut off, or whose sound is longer, shows its last frame until the end; slides show each as long.
    const needless = Math.max(held.length - longest, 0);
    this.count -= needless;
    held.length -= needless;
    await useHeld();
    if (!needless) return;
    // A browser notices a little after a seek that no more frames come. An intact file too may end in its last frame.
    await this.#until(() => video.ended, PATIENCE_MILLISECONDS);
    if (this.isRunning && video.ended) throw new PageError("video-broken");
  }

  /** Wait until the browser shows another frame, and return its time; null after `stop`. */
  #next(): Promise<number | null> {
    if (!this.isRunning) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.wake = () => resolve(null);
      this.video.requestVideoFrameCallback((_, { mediaTime }) => resolve(this.isRunning ? mediaTime : null));
    });
  }

  /** The time of the shown frame in the file, in microseconds; NaN in browsers that do not tell. */
  #shownTime(): number {
    try {
      const frame = new VideoFrame(this.video);
      frame.close();
      // Firefox gives the whole seconds of the current time.
      return frame.timestamp === Math.trunc(this.video.currentTime) ? NaN : frame.timestamp;
    } catch {
      return NaN;
    }
  }

  /** Measure the frames per second, a whole number, of a video that plays from its start. */
  async #measureRate(): Promise<number> {
    const { video } = this;
    const times: number[] = [];
    video.playbackRate = MEASURED.speed;
    while (times.length < MEASURED.frames) {
      const time = await Promise.race([this.#next(), later(null)]);
      if (time !== null) times.push(time);
      // A slow video shows its next frame later.
      else if (!this.isRunning || video.ended) break;
    }
    video.pause();
    video.playbackRate = 1;
    const gaps = times.slice(1).map((time, index) => time - times[index]!).filter((gap) => gap > 0);
    if (!gaps.length) return USUAL_RATE;
    // A gap in which a frame was skipped counts as two frames.
    const shortest = Math.min(...gaps);
    const total = gaps.reduce((sum, gap) => sum + gap, 0);
    return Math.max(Math.round(gaps.reduce((sum, gap) => sum + Math.round(gap / shortest), 0) / total), 1);
  }

  /** Wait until a condition is met, at most so long, or until stopped. */
  async #until(isMet: () => boolean, milliseconds: number): Promise<void> {
    const end = performance.now() + milliseconds;
    while (this.isRunning && !isMet() && performance.now() < end) await later(null, TURN_MILLISECONDS);
  }

  /** The middle of the time that a place's frame is shown, in seconds. */
  #middleOf(index: number): number {
    return index / this.rate + this.#half;
  }

  /**
   * Show the frame of a place. To seek, a browser decodes all from the last key frame on, so it is several times as fast
   * to play on to the next frame. A frame that was passed is sought.
   */
  async #show(index: number, isNext: boolean): Promise<void> {
    // A page that is not seen is shown no frames.
    if (isNext && this.rate >= MIN_PLAYED_RATE && !document.hidden && (await this.#playTo(index))) return;
    if (this.isRunning) await this.#seek(this.#middleOf(index));
  }

  /** Play on until the frame of a place is shown. Returns false if it was passed, or did not come. */
  async #playTo(index: number): Promise<boolean> {
    const { video } = this;
    const offBy = (seconds: number) => seconds - index / this.rate;
    const refused = video.play().then(() => new Promise<never>(() => {}), () => null);
    let time: number | null;
    do time = await Promise.race([this.#next(), later(null), refused]);
    while (time !== null && offBy(time) < -this.#half);
    video.pause();
    if (time === null) return false;
    this.#passed = Math.max(this.#passed, time);
    // The frame after it may be shown by now.
    const shown = this.#shownTime() / 1e6;
    return offBy(time) <= this.#half && !(offBy(shown) > this.#half);
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

function later<Value>(value: Value, milliseconds = PATIENCE_MILLISECONDS): Promise<Value> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds, value));
}
