/** Holds what is on the screen; only this code replaces it. */

import { problem, problemWith } from "../errors";
import { LoadError } from "../model/download";
import { translate } from "../locales/translate";
import { PageError } from "../page_error";
import { release } from "../sources/video";
import { element } from "../view/elements";
import type { Page, Shown } from "../view/page";

export class Stage {
  readonly video = element<HTMLVideoElement>("video");
  shown: Shown = { kind: "nothing" };
  /** Called after something else was shown. */
  onChange: () => void = () => {};
  /** Counts starts and stops, so that late results of an older image or video are not shown. */
  turn = 0;

  constructor(private readonly page: Page) {
    // A file that is damaged in the middle stops without a message. VideoSession reports a file that cannot start.
    this.video.onerror = () => {
      if (this.shown.kind !== "video" || !this.video.src) return;
      const { source: name } = this.shown.video;
      this.stop();
      this.page.messages.addProblem(problem("video-broken", () => ({ name })));
    };
  }

  /** The status below what is on the screen. */
  readonly summary = (): string => {
    const { shown } = this;
    if (shown.kind === "image") return this.page.summary(shown.item);
    if (shown.kind === "nothing") return translate("privacy");
    const { clip, source: name } = shown.video;
    return clip && !element("stop").hidden ? translate("analysing", { name }) : this.page.videoPanel.summary(shown.video);
  };

  /** Whether a camera or video runs: it is opened, watched, analysed or played. */
  get isRunning(): boolean {
    return !element("stop").hidden || (this.shown.kind === "video" && !this.video.paused);
  }

  /** Whether nothing was started or stopped since `stop` returned this turn. */
  isCurrent(turn: number): boolean {
    return turn === this.turn;
  }

  /**
   * End the camera, pause the video, or stop waiting for it. The latest predictions stay on the screen. Returns a
   * number (turn) for the image or video that starts next.
   */
  stop(): number {
    this.turn += 1;
    this.video.pause();
    const stream = this.video.srcObject;
    if (stream instanceof MediaStream) stream.getTracks().forEach((track) => track.stop());
    if (this.shown.kind === "video") this.shown.video.stop();
    const button = element("stop");
    const focused = document.activeElement === button;
    button.hidden = true;
    // A button that is hidden loses the focus.
    if (focused) element("use-camera").focus();
    this.page.messages.show(this.summary);
    this.page.refresh();
    return this.turn;
  }

  /** Show something else on the screen. */
  show(shown: Shown): void {
    if (this.shown.kind === "video") this.shown.video.stop();
    // A camera's image is mirrored. For images, the user's choice of mirroring is kept.
    const isCamera = shown.kind === "video" && this.video.srcObject !== null;
    if (shown.kind !== "image" || this.shown.kind !== "image") this.#setMirror(isCamera);
    const videoEnds = this.shown.kind === "video" && shown.kind !== "video";
    this.shown = shown;
    if (videoEnds) release(this.video);
    this.page.showScreen(shown);
    this.onChange();
    this.page.messages.show(this.summary);
  }

  /** Remove what the page's single video element played before. */
  freeVideo(): void {
    if (this.shown.kind === "video") this.show({ kind: "nothing" });
    else release(this.video);
  }

  /** Show why a source failed. A LoadError is shown elsewhere. */
  report(name: string, error: unknown): void {
    if (error instanceof LoadError) return;
    if (!(error instanceof PageError)) console.error(error);
    this.page.messages.addProblem(problemWith(name, error));
  }

  #setMirror(mirror: boolean): void {
    this.page.settings.mirror = mirror;
    element<HTMLInputElement>("mirror").checked = mirror;
  }
}
