import type { Picture } from "../reader";

/** Hands out a video's frames for as long as it is wanted; those that come while one is being read are left out. */
export class Frames {
  #running = true;
  readonly #canvas = new OffscreenCanvas(1, 1);

  constructor(private readonly video: HTMLVideoElement) {}

  stop(): void {
    this.#running = false;
  }

  /** Calls `use` with each frame and its time in the video, one after another. */
  async each(use: (frame: Picture, seconds: number) => Promise<void>): Promise<void> {
    while (await this.#next()) {
      await use(this.#grab(), this.video.currentTime);
      // A chance for clicks and keys between two frames.
      await new Promise((done) => setTimeout(done));
    }
  }

  /** Waits for a new frame; false when nobody wants one any more. */
  async #next(): Promise<boolean> {
    let seen = false;
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(() => (seen = true));
    else requestAnimationFrame(() => (seen = !this.video.paused));
    while (this.#running && !(seen && this.video.videoWidth)) {
      await new Promise((done) => setTimeout(done, 4));
    }
    return this.#running;
  }

  #grab(): Picture {
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
