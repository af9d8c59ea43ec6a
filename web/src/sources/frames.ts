import type { DecodedImage } from "../preprocess/image";

/** When a video may stay at a frame. At its end it is paused too. */
const STAYS = ["pause", "seeked"] as const;

/**
 * The frames of a video that plays. Frames that come while one is being processed are skipped, except the one that stays
 * on the screen: at the end, at a pause, or after a jump of a paused video.
 */
export class Frames {
  #running = true;
  #wake: (running: boolean) => void = () => {};
  readonly #canvas = new OffscreenCanvas(1, 1);
  /** The video's time when the latest frame was taken. */
  #seconds = -1;

  constructor(private readonly video: HTMLVideoElement) {}

  stop(): void {
    this.#running = false;
    this.#wake(false);
  }

  /** Calls `use` with each frame and its time in the video, one after another, until stopped. */
  async forEach(use: (frame: DecodedImage, seconds: number) => Promise<void>): Promise<void> {
    const catchUp = () => this.#isBehind() && this.#wake(this.#running);
    for (const event of STAYS) this.video.addEventListener(event, catchUp);
    try {
      while (await this.#next()) {
        this.#seconds = this.video.currentTime;
        await use(this.#capture(), this.#seconds);
      }
    } finally {
      for (const event of STAYS) this.video.removeEventListener(event, catchUp);
    }
  }

  /** Waits for a new frame, also while the video is paused; false after `stop`. */
  #next(): Promise<boolean> {
    if (!this.#running || this.#isBehind()) return Promise.resolve(this.#running);
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.video.requestVideoFrameCallback(() => resolve(this.#running));
    });
  }

  /** Whether the video stays at another time than that of the latest frame: the browser announces its frame only once. */
  #isBehind(): boolean {
    const { paused, seeking, error, currentTime } = this.video;
    return paused && !seeking && !error && currentTime !== this.#seconds;
  }

  #capture(): DecodedImage {
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
