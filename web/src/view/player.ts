/** Controls of a video file, below it, because the browser's own would cover faces. */

import { clock, translate } from "../locales/translate";
import { element, setText } from "./elements";

export class Player {
  readonly #video = element<HTMLVideoElement>("video");
  readonly #play = element<HTMLButtonElement>("play");
  readonly #seek = element<HTMLInputElement>("seek");

  constructor() {
    this.#play.onclick = () => void (this.#video.paused ? this.#video.play() : this.#video.pause());
    this.#seek.oninput = () => this.jump(Number(this.#seek.value));
    for (const event of ["play", "pause", "seeked"]) this.#video.addEventListener(event, () => this.refresh());
  }

  /** While a file is analysed, the controls are disabled, because the analysis moves through it. */
  set enabled(enabled: boolean) {
    this.#play.disabled = this.#seek.disabled = !enabled;
  }

  jump(seconds: number): void {
    if (!this.#seek.disabled) this.#video.currentTime = seconds;
  }

  refresh(): void {
    const { currentTime, duration, paused } = this.#video;
    if (!Number.isFinite(duration)) return;
    this.#seek.max = String(duration);
    this.#seek.value = String(currentTime);
    this.#seek.setAttribute("aria-valuetext", clock(currentTime));
    setText(element("time"), `${clock(currentTime)} / ${clock(duration)}`);
    setText(this.#play, translate(paused || this.#play.disabled ? "play" : "pause"));
  }
}
