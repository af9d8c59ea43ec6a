/** Plays the camera or a video file, and predicts on its frames. */

import { problem } from "../errors";
import { translate } from "../locales/translate";
import type { Predictor } from "../predictions/predictor";
import { VideoPredictor } from "../predictions/video_predictor";
import { openCamera } from "../sources/camera";
import { playCamera, playFile, release } from "../sources/video";
import { element } from "../view/elements";
import type { Page, Shown } from "../view/page";
import type { ImageSession } from "./image_session";
import type { Stage } from "./stage";

/** The source of predictions from the camera. */
const CAMERA = "webcam";

export class VideoSession {
  constructor(
    private readonly page: Page,
    private readonly stage: Stage,
    private readonly images: ImageSession,
    private readonly predictor: Promise<Predictor>,
  ) {}

  async useCamera(): Promise<void> {
    const { messages } = this.page;
    messages.clearProblems();
    const turn = this.stage.stop();
    element("stop").hidden = false;
    messages.show(() => translate("loading"));
    let stream: MediaStream | null = null;
    try {
      // The camera is switched on only when the networks are loaded.
      const predictor = await this.predictor;
      if (!this.stage.isCurrent(turn)) return;
      messages.show(() => translate("waiting_for_camera"));
      stream = await openCamera();
      if (!this.stage.isCurrent(turn)) return;
      stream.getVideoTracks()[0]!.addEventListener("ended", () => {
        this.stage.stop();
        messages.addProblem(problem("camera-ended"));
      });
      this.stage.freeVideo();
      await playCamera(this.stage.video, stream);
      if (this.stage.isCurrent(turn)) await this.#predict(CAMERA, predictor);
    } catch (error) {
      if (!this.#giveUp(CAMERA, error, turn)) return;
      // Show the images again, if there are any and nothing is on the screen.
      if (this.stage.shown.kind === "nothing") await this.images.process([...this.images.items]);
    } finally {
      // However it ended, the camera is off.
      stream?.getTracks().forEach((track) => track.stop());
    }
  }

  async play(file: File): Promise<void> {
    const turn = this.stage.stop();
    const { name } = file;
    this.page.messages.show(() => translate("opening", { name }));
    try {
      const predictor = await this.predictor;
      if (!this.stage.isCurrent(turn)) return;
      this.stage.freeVideo();
      await playFile(this.stage.video, file);
      if (this.stage.isCurrent(turn)) await this.#predict(name, predictor);
    } catch (error) {
      if (!this.#giveUp(name, error, turn)) return;
      this.images.setAside();
      await this.images.process([]);
    }
  }

  /** Predict on each frame, for as long as the video is on the screen. */
  async #predict(source: string, predictor: Predictor): Promise<void> {
    const { video: element } = this.stage;
    const video = new VideoPredictor(source, predictor, element);
    const shown: Shown = { kind: "video", video };
    this.stage.show(shown);
    try {
      await video.run((predictions) => {
        if (this.stage.shown !== shown) return;
        this.page.show(predictions);
        const { currentTime, duration } = element;
        const length = Number.isFinite(duration) ? duration : null;
        this.page.videoPanel.update(video, currentTime, length, this.page.chosenFace);
      });
    } catch (error) {
      if (this.stage.shown !== shown) return;
      this.stage.stop();
      this.stage.report(source, error);
    }
  }

  /** A camera or a video could not start. Returns false for late errors of something that was stopped, which are ignored. */
  #giveUp(source: string, error: unknown, turn: number): boolean {
    if (!this.stage.isCurrent(turn)) return false;
    this.stage.stop();
    if (this.stage.shown.kind !== "video") release(this.stage.video);
    this.stage.report(source, error);
    return true;
  }
}
