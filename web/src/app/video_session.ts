/** Predicts on frames of the camera, or of a video file, which can be played afterwards. */

import { problem } from "../errors";
import { translate } from "../locales/translate";
import type { ImagePredictions, Predictor } from "../predictions/predictor";
import { VideoPredictor } from "../predictions/video_predictor";
import { checkPlays, openCamera, playFile, release } from "../sources/video";
import { CameraFrames, ClipFrames, type Frames } from "../sources/frames";
import { element } from "../view/elements";
import type { Page, Shown } from "../view/page";
import type { ImageSession } from "./image_session";
import type { Stage } from "./stage";

/** Name of the camera as the source of predictions. */
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
    let stream = null as MediaStream | null;
    await this.#start(CAMERA, () => translate("loading"), async (isCurrent) => {
      messages.show(() => translate("waiting_for_camera"));
      stream = await openCamera();
      if (!isCurrent()) return null;
      stream.getVideoTracks()[0]!.addEventListener("ended", () => {
        this.stage.stop();
        messages.addProblem(problem("camera-ended"));
      });
      this.stage.freeVideo();
      this.stage.video.srcObject = stream;
      await this.stage.video.play();
      return new CameraFrames(this.stage.video);
      // Switch off the camera, whatever the state.
    }).finally(() => stream?.getTracks().forEach((track) => track.stop()));
  }

  play(file: File): Promise<void> {
    const { name } = file;
    return this.#start(name, () => translate("opening", { name }), async (isCurrent) => {
      // A file that cannot be played leaves the predictions of the video before it.
      await checkPlays(file);
      if (!isCurrent()) return null;
      this.stage.freeVideo();
      await playFile(this.stage.video, file);
      return new ClipFrames(this.stage.video);
    });
  }

  /** Open a source after the networks are loaded, and predict on it, unless something else was started meanwhile. */
  async #start(source: string, status: () => string, open: (isCurrent: () => boolean) => Promise<Frames | null>): Promise<void> {
    const turn = this.stage.stop();
    const isCurrent = () => this.stage.isCurrent(turn);
    element("stop").hidden = false;
    this.page.messages.show(status);
    try {
      const predictor = await this.predictor;
      const frames = isCurrent() ? await open(isCurrent) : null;
      if (frames && isCurrent()) await this.#predict(source, predictor, frames);
    } catch (error) {
      // Errors after a stop are ignored.
      if (!isCurrent()) return;
      this.stage.stop();
      if (this.stage.shown.kind !== "video") release(this.stage.video);
      this.stage.report(source, error);
      await this.images.goOn();
    }
  }

  /** Predict on each frame: of a camera until it is stopped, of a file until its end. */
  async #predict(source: string, predictor: Predictor, frames: Frames): Promise<void> {
    const video = new VideoPredictor(source, predictor, frames);
    const shown: Shown = { kind: "video", video };
    this.stage.show(shown);
    element("stop").hidden = false;
    try {
      await video.run((predictions) => this.stage.shown === shown && this.#showFrame(video, predictions));
    } catch (error) {
      if (this.stage.shown !== shown) return;
      this.stage.stop();
      this.stage.report(source, error);
    }
    if (!video.clip || this.stage.shown !== shown) return;
    // If it was stopped early or failed, this was done before, and something else may be running.
    if (video.frames >= video.clip.count) this.stage.stop();
    this.#playAgain(video, video.clip);
  }

  #showFrame(video: VideoPredictor, predictions: ImagePredictions): void {
    this.page.show(predictions);
    const { currentTime, duration } = this.stage.video;
    this.page.videoPanel.update(video, currentTime, video.clip && duration, this.page.chosenFace);
  }

  /** Play a file from its start, with the predictions of each frame. */
  #playAgain(video: VideoPredictor, { rate }: ClipFrames): void {
    const { shown, video: player } = this.stage;
    this.page.player.enabled = true;
    const next = () => player.requestVideoFrameCallback((_, { mediaTime }) => {
      if (this.stage.shown !== shown) return;
      this.#showFrame(video, video.at(mediaTime + 0.5 / rate));
      // While the video is paused, no frame would trigger a drawing.
      if (player.paused) this.page.videoPanel.draw(this.page.chosenFace);
      this.page.player.refresh();
      next();
    });
    next();
    player.currentTime = 0;
  }
}
