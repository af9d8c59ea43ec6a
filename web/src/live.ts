/** Reading a camera or a video, frame by frame, for as long as it runs. */

import type { Box } from "./faces/box";
import type { Reader } from "./reader";
import { Tracks } from "./readings/tracks";
import type { Seen } from "./seen";
import { Frames } from "./sources/frames";

/** What was read in one face of one frame. */
export interface Row {
  seconds: number;
  number: number;
  box: Box;
  shares: number[];
}

/** More are not kept: about half an hour of one face. */
const MOST_ROWS = 50_000;

/** Frames over which speed is measured. */
const RECENT = 30;

export class Live {
  readonly rows: Row[] = [];
  /** Rows before these that are no longer kept. */
  dropped = 0;
  frames = 0;
  readonly #tracks = new Tracks();
  readonly #frames: Frames;
  #recent: { at: number; took: number }[] = [];

  constructor(
    readonly source: string,
    private readonly reader: Reader,
    video: HTMLVideoElement,
  ) {
    this.#frames = new Frames(video);
  }

  /** Calls `show` after each frame, until stopped. */
  async run(show: (seen: Seen) => void): Promise<void> {
    await this.#frames.each(async (frame, seconds) => {
      const began = performance.now();
      const found = await this.reader.readFrame(frame);
      const boxed = found.flatMap(({ box, ...rest }) => (box ? [{ box, ...rest }] : []));
      const read = this.#tracks.update(boxed, seconds);
      this.rows.push(...read.map(({ number, box, shares }) => ({ seconds, number, box, shares })));
      if (this.rows.length > MOST_ROWS) this.dropped += this.rows.splice(0, this.rows.length - MOST_ROWS).length;
      this.#count(began);
      show({ source: this.source, width: frame.width, height: frame.height, faces: this.#tracks.shown(seconds) });
    });
  }

  stop(): void {
    this.#frames.stop();
  }

  /** Frames a second and milliseconds of reading a frame, over the latest frames; null before there are two. */
  speed(): { rate: number; milliseconds: number } | null {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (!first || !last || first === last) return null;
    const rate = (1000 * (this.#recent.length - 1)) / (last.at - first.at);
    return { rate, milliseconds: this.#recent.reduce((sum, { took }) => sum + took, 0) / this.#recent.length };
  }

  #count(began: number): void {
    const at = performance.now();
    this.frames += 1;
    this.#recent = [...this.#recent, { at, took: at - began }].slice(-RECENT);
  }
}
