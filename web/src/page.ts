/** The page: shows what was seen, as the settings say. It reads nothing itself. */

import type { Item } from "./gallery";
import type { Live, Row } from "./live";
import type { Manifest } from "./model/manifest";
import type { Picture } from "./reader";
import { History } from "./readings/history";
import { type Reading, readingOf } from "./readings/reading";
import type { Seen, SeenFace } from "./seen";
import type { Settings } from "./settings";
import { showBars } from "./view/bars";
import { showBoxes } from "./view/boxes";
import { element, setText } from "./view/elements";
import { drawMap } from "./view/map";
import { showPictures } from "./view/pictures";
import { answerOf, captionOf, showAnswer } from "./view/reading";
import { translateSchemes } from "./view/schemes";
import { clock, drawTimeline, stepsOn } from "./view/timeline";
import { expression, figure, percent, translate, word } from "./words/words";

/** How much of the past a camera's timeline shows. */
const WINDOW_SECONDS = 60;

/** Pictures whose sides are all below this are shown as large as the screen allows, up to it. */
const SMALL_PX = 256;

/** To a screen reader, of the camera or video that is on the screen. */
const NEVER_TOLD = { answer: "", at: -Infinity };

/** No oftener is a screen reader told of a new answer, and is the timeline drawn. */
const CALM_MILLISECONDS = { told: 2000, drawn: 200 };

/** What is on the screen: a picture that was read, or a camera or video, stopped or not. */
export type Shown = { kind: "nothing" } | { kind: "picture"; item: Item } | { kind: "live"; live: Live };

export class Page {
  chosen = 1;
  seen: Seen | null = null;
  #status: () => string = () => "";
  #faults: (() => string)[] = [];
  #lastingFaults: (() => string)[] = [];
  #told = NEVER_TOLD;
  #drawn = 0;
  /** Whose timeline is shown: while nobody is seen, of whoever was last. */
  #followed = 1;
  /** Of a camera or video that is on the screen, stopped or not. */
  #latest: { live: Live; now: number; duration: number | null } | null = null;
  readonly #history = new History<Row>();
  #map: { face: SeenFace; values: Float32Array; top: string } | null = null;

  constructor(
    private readonly manifest: Manifest,
    readonly settings: Settings,
  ) {}

  /** What is said about a face. */
  reading(source: string, face: Pick<SeenFace, "box" | "shares">): Reading {
    return readingOf(source, face.box, face.shares, this.manifest.classes, this.settings.scheme);
  }

  get chosenFace(): SeenFace | null {
    return this.seen?.faces.find(({ number }) => number === this.chosen) ?? this.seen?.faces[0] ?? null;
  }

  /** Show something else, of which nothing has been chosen, explained or told yet. */
  showScreen(shown: Shown): void {
    this.chosen = 1;
    this.#followed = 1;
    this.forgetMap();
    this.#latest = null;
    this.#told = NEVER_TOLD;
    element("told").textContent = "";
    element("invitation").hidden = shown.kind !== "nothing";
    element("frame").hidden = shown.kind === "nothing";
    element("picture").hidden = shown.kind !== "picture";
    element("video").hidden = shown.kind !== "live";
    element("timeline").hidden = shown.kind !== "live";
    const seen = shown.kind === "picture" ? shown.item.seen! : null;
    element("whole-offer").hidden = seen?.faces.length !== 0;
    this.show(seen);
  }

  draw({ source, width, height }: Picture): void {
    const canvas = element<HTMLCanvasElement>("picture");
    canvas.width = width;
    canvas.height = height;
    canvas.classList.toggle("small", Math.max(width, height) < SMALL_PX);
    canvas.style.setProperty("--ratio", String(width / height));
    canvas.getContext("2d")!.drawImage(source, 0, 0);
  }

  /** What was found in the picture that is shown, in words. */
  found({ file: { name } }: Item): string {
    const faces = this.seen?.faces ?? [];
    const [face] = faces;
    if (!face) return word("no_face", { name });
    const answer = answerOf(this.reading(name, face), this.settings.least);
    return word(faces.length > 1 ? "many_faces" : "one_face", { name, answer, count: faces.length });
  }

  /** Say something below the picture, in words that follow the language. */
  say(status: () => string): void {
    this.#status = status;
    setText(element("status"), status());
  }

  /** Say something else below the picture in place of what is said there, unless that is something else by now. */
  unsay(status: () => string, instead = () => ""): void {
    if (this.#status === status) this.say(instead);
  }

  /** Say what is wrong for as long as the page is open. */
  complainForGood(fault: () => string): void {
    this.#lastingFaults.push(fault);
    this.#showFaults();
  }

  /** Say what went wrong, beside what has gone wrong already. */
  complain(fault: () => string): void {
    this.#faults.push(fault);
    this.#showFaults();
  }

  clearFaults(): void {
    this.#faults = [];
    this.#showFaults();
  }

  /** Show other faces: those of another picture or of the next frame. */
  show(seen: Seen | null): void {
    this.seen = seen;
    this.refresh();
  }

  /** Everything anew, after a change of settings or language. */
  refresh(): void {
    const { least, mirror } = this.settings;
    const face = this.chosenFace;
    const reading = face && this.seen ? this.reading(this.seen.source, face) : null;
    // In a video another face takes the place of one that has left; the map is of that one.
    if (face && face.number !== this.#map?.face.number) this.#map = null;
    const several = (this.seen?.faces.length ?? 0) > 1;
    element("reading-title").textContent = several ? word("reading_of", { number: face!.number }) : word("reading");
    showAnswer(element("answer"), reading, least);
    showBars(element("bars"), Object.keys(this.settings.scheme.groups), reading);
    element<HTMLButtonElement>("explain").disabled = !reading;
    for (const id of ["copy", "download"]) element<HTMLButtonElement>(id).disabled = !this.seen;
    element("frame").classList.toggle("mirrored", mirror);
    if (this.seen) this.#showBoxes(this.seen, face);
    else element("boxes").replaceChildren();
    this.#showMap();
  }

  retranslate(): void {
    translate(document);
    translateSchemes(element("schemes"));
    setText(element("status"), this.#status());
    this.#showFaults();
    element("least-shown").textContent = percent(this.settings.least);
    element("least").setAttribute("aria-valuetext", percent(this.settings.least));
    const accuracy = this.manifest.scores["validation_accuracy"];
    const { name, precision } = this.manifest;
    element("model").textContent =
      accuracy === undefined
        ? word("model_unmeasured", { name, precision })
        : word("model", { name, precision, accuracy: figure(100 * accuracy, 1), rows: word("rows_validation") });
    this.refresh();
    this.#showTimeline();
  }

  showPictures(items: Item[], chosen: Item | null, alone: boolean, choose: (item: Item) => void): void {
    const caption = ({ seen }: Item) => {
      const face = seen?.faces[0];
      if (!seen) return "…";
      return face ? captionOf(this.reading(seen.source, face), this.settings.least) : "–";
    };
    showPictures(element("pictures"), items.length > 1 || alone ? items : [], chosen, caption, choose);
    element("picture").setAttribute("aria-label", chosen ? word("picture_label", { name: chosen.file.name }) : "");
  }

  /** The timeline, the speed, and now and then a word to a screen reader. */
  showLive(live: Live, now: number, duration: number | null): void {
    const face = this.chosenFace;
    const answer = face ? answerOf(this.reading(live.source, face), this.settings.least) : word("no_face_now");
    const top = face ? this.reading(live.source, face).top : "";
    const time = performance.now();
    if (top !== this.#told.answer && time - this.#told.at > CALM_MILLISECONDS.told) {
      this.#told = { answer: top, at: time };
      element("told").textContent = answer;
    }
    this.#latest = { live, now, duration };
    if (time - this.#drawn < CALM_MILLISECONDS.drawn) return;
    this.#drawn = time;
    this.#showTimeline();
  }

  /** Lay a map of what mattered over the face that it is of. */
  setMap(face: SeenFace, values: Float32Array, top: string): void {
    this.#map = { face, values, top };
    this.#showMap();
  }

  forgetMap(): void {
    this.#map = null;
    this.#showMap();
  }

  /** The timeline and the speed, as of the latest frame. */
  #showTimeline(): void {
    if (!this.#latest) return;
    const { live, now, duration } = this.#latest;
    const end = duration ?? Math.max(now, WINDOW_SECONDS);
    const start = duration === null ? end - WINDOW_SECONDS : 0;
    const canvas = element<HTMLCanvasElement>("timeline-canvas");
    const face = (this.#followed = this.chosenFace?.number ?? this.#followed);
    const reading = (row: Row) => this.reading(live.source, row).probabilities;
    const steps = this.#history.steps(live, face, [start, end, stepsOn(canvas)], this.settings.scheme, reading);
    drawTimeline(canvas, steps);
    const often = steps.mostOften();
    canvas.setAttribute("aria-label", word("timeline_label", { expression: often ? expression(often) : "–" }));
    element("timeline-start").textContent = clock(start);
    element("timeline-end").textContent = clock(end);
    const speed = live.speed();
    const { rate, milliseconds } = speed ?? { rate: 0, milliseconds: 0 };
    element("rate").textContent = speed
      ? word("rate", { rate: figure(rate, 0), milliseconds: figure(milliseconds, 0), frames: live.frames })
      : "";
  }

  #showFaults(): void {
    const faults = [...this.#lastingFaults, ...this.#faults];
    setText(element("fault"), faults.map((fault) => fault()).join(" "));
  }

  #showMap(): void {
    element("map").hidden = !this.#map;
    if (!this.#map) return;
    const { face, values, top } = this.#map;
    const canvas = element<HTMLCanvasElement>("map-canvas");
    drawMap(canvas, face.square, values, this.settings.mirror);
    canvas.setAttribute("aria-label", word("map_label", { expression: expression(top) }));
    element("map-caption").textContent = word("map_caption", { expression: expression(top) });
  }

  #showBoxes(seen: Seen, chosen: SeenFace | null): void {
    const { least, mirror } = this.settings;
    const boxes = seen.faces.flatMap((face) => {
      if (!face.box) return [];
      const reading = this.reading(seen.source, face);
      return {
        number: face.number,
        box: face.box,
        caption: captionOf(reading, least),
        label: word("face_is", { number: face.number, answer: answerOf(reading, least) }),
        chosen: face === chosen,
        choose: () => {
          this.chosen = face.number;
          this.forgetMap();
          this.refresh();
        },
      };
    });
    showBoxes(element("boxes"), boxes, seen.width, seen.height, mirror);
  }
}
