import type { Picture } from "../reader";

/** Hands out a video's frames for as long as it is wanted; those that come while one is being read are left out. */
export class Frames {
  #running = true;
  #wake: (goOn: boolean) => void = () => {};
  readonly #canvas = new OffscreenCanvas(1, 1);

  constructor(private readonly video: HTMLVideoElement) {}

  stop(): void {
    this.#running = false;
    this.#wake(false);
  }

  /** Calls `use` with each frame and its time in the video, one after another. */
  async each(use: (frame: Picture, seconds: number) => Promise<void>): Promise<void> {
    while (await this.#next()) {
      await use(this.#grab(), this.video.currentTime);
    }
  }

  /** Waits for a new frame, also while the video is paused; false when nobody wants one any more. */
  #next(): Promise<boolean> {
    if (!this.#running) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.video.requestVideoFrameCallback(() => resolve(this.#running));
    });
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
