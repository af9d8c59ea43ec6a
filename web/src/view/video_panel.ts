/** The page's panel for a camera or a video: timeline, throughput, and announcements for screen readers. */

import { clock, expression, translate } from "../locales/translate";
import {
  decimalsFor, drawTimeline, readingAt, showLegend, showReading, showTimes, stepCount, TimeSteps,
} from "./timeline";
import { mergeProbabilities } from "../predictions/label_schemes";
import type { NumberedFace } from "../predictions/predictor";
import type { Classified, Prediction } from "../predictions/prediction";
import type { VideoPredictor } from "../predictions/video_predictor";
import { answerText, largeText } from "./answer";
import { element, setText } from "./elements";
import type { Settings } from "./settings";

/** Number of past seconds that a camera's timeline shows. */
const WINDOW_SECONDS = 60;

/** Minimum time between two announcements, and between two drawings of the timeline. */
const INTERVAL_MILLISECONDS = { announced: 2000, drawn: 200 };

/** Largest number of moments that are drawn: all of a minute, and some of each step of a longer video. */
const MAX_DRAWN = 2000;

const NEVER_ANNOUNCED = { answer: "", at: -Infinity };

type Predict = (source: string, face: Classified) => Prediction;

export class VideoPanel {
  /** The camera or video on the screen, running or stopped; `duration` is null for a camera. */
  #latest: { video: VideoPredictor; now: number; duration: number | null } | null = null;
  /** The face whose timeline is shown. While no face is visible, this is the last face. */
  #face = 1;
  #announced = NEVER_ANNOUNCED;
  #drawn = 0;
  /** Steps of the timeline, and the pointer's position, 0..1. Without one, the current time of a file is marked. */
  #steps: TimeSteps | null = null;
  #pointer: number | null = null;

  constructor(
    private readonly settings: Settings,
    private readonly predict: Predict,
    jump: (seconds: number) => void,
  ) {
    const canvas = element("timeline-canvas");
    canvas.onpointermove = canvas.onpointerdown = ({ offsetX }) => this.#point(offsetX / canvas.clientWidth);
    canvas.onpointerleave = () => this.#point(null);
    canvas.onclick = ({ offsetX }) => {
      const { duration } = this.#latest ?? {};
      if (duration) jump((offsetX / canvas.clientWidth) * duration);
    };
  }

  /** Clear the panel for another camera or video, or hide it. */
  reset(): void {
    this.#face = 1;
    this.#latest = null;
    this.#steps = null;
    this.#pointer = null;
    this.#announced = NEVER_ANNOUNCED;
    this.#drawn = 0;
    element<HTMLCanvasElement>("timeline-canvas").width = 0;
    element("announcement").textContent = element("throughput").textContent = "";
  }

  /** Update after each frame. Announcements and drawings are limited to a few per second. */
  update(video: VideoPredictor, now: number, duration: number | null, face: NumberedFace | null): void {
    const time = performance.now();
    this.#announce(face && this.predict(video.source, face), time);
    this.#latest = { video, now, duration };
    if (time - this.#drawn < INTERVAL_MILLISECONDS.drawn) return;
    this.#drawn = time;
    this.draw(face);
  }

  /** Draw the timeline and the throughput after the latest frame. */
  draw(chosen: NumberedFace | null): void {
    if (!this.#latest) return;
    const { video, now, duration } = this.#latest;
    const end = duration ?? Math.max(now, WINDOW_SECONDS);
    const start = duration === null ? end - WINDOW_SECONDS : 0;
    const canvas = element<HTMLCanvasElement>("timeline-canvas");
    this.#face = chosen?.number ?? this.#face;
    const { output, scheme } = this.settings;
    const steps = (this.#steps = new TimeSteps(start, end, stepCount(canvas)));
    const entries = video.entries.filter(({ number, seconds }) => number === this.#face && seconds >= start);
    for (let at = 0; at < entries.length; at += Math.ceil(entries.length / MAX_DRAWN)) {
      const { seconds, probabilities } = entries[at]!;
      steps.add(seconds, mergeProbabilities(probabilities[output.name]!, output.classes, scheme));
    }
    drawTimeline(canvas, steps, this.#mark);
    const frequent = steps.mostFrequent();
    canvas.setAttribute("aria-label", translate("timeline_label", { expression: frequent ? expression(frequent) : "–" }));
    showLegend(Object.keys(this.settings.scheme.groups));
    showTimes(start, end);
    this.#showReading();
    element("throughput").textContent = throughputText(video);
  }

  #point(place: number | null): void {
    if (!this.#steps) return;
    this.#pointer = place;
    drawTimeline(element<HTMLCanvasElement>("timeline-canvas"), this.#steps, this.#mark);
    this.#showReading();
  }

  get #mark(): number | null {
    const { now, duration } = this.#latest!;
    return this.#pointer ?? (duration ? now / duration : null);
  }

  /** Describe how much of a file was analysed; empty for a camera. */
  summary({ clip, frames, source: name }: VideoPredictor): string {
    if (!clip) return "";
    if (frames >= clip.count) return translate("analysed", { name, count: frames });
    const seconds = clip.rate ? frames / clip.rate : 0;
    return translate("analysed_partly", { name, count: frames, time: clock(seconds, seconds ? decimalsFor(seconds) : 0) });
  }

  #showReading(): void {
    showReading(this.#steps && this.#pointer !== null ? readingAt(this.#steps, this.#pointer) : null);
  }

  #announce(prediction: Prediction | null, time: number): void {
    const answer = prediction ? largeText(prediction, this.settings.minConfidence) : "";
    if (answer === this.#announced.answer || time - this.#announced.at <= INTERVAL_MILLISECONDS.announced) return;
    this.#announced = { answer, at: time };
    element("announcement").textContent = prediction
      ? answerText(prediction, this.settings.minConfidence)
      : translate("no_face_now");
  }
}

function throughputText(video: VideoPredictor): string {
  const throughput = video.throughput();
  if (!throughput) return "";
  const { rate, milliseconds } = throughput;
  if (video.clip) return translate("progress", { done: video.frames, count: video.clip.count, rate });
  return translate("throughput", { rate, milliseconds, frames: video.frames });
}

/** Controls of a video file, below it, because the browser's own would cover faces. */
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
