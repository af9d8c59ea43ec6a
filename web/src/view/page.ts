/** Shows the predictions on the screen according to the settings. The class makes no predictions. */

import { expression, percent, translate, translateDocument } from "../locales/translate";
import { fullName, type Manifest } from "../model/manifest";
import { defaultOutput, outputsOf } from "../heads/votes";
import type { GalleryItem } from "../predictions/gallery";
import type { ImagePredictions, NumberedFace } from "../predictions/predictor";
import { type Classified, type Prediction, predictionOf } from "../predictions/prediction";
import type { VideoPredictor } from "../predictions/video_predictor";
import type { DecodedImage } from "../preprocess/image";
import {
  answerColour, answerText, Bars, captionText, isInDoubt, largeText, showAnswer, showDerived, showDetectionScore,
} from "./answer";
import { BoxDrawing, showBoxes } from "./boxes";
import { copiesOf, element, resizeChildren } from "./elements";
import { Messages } from "./messages";
import { drawMap } from "./occlusion_map";
import { type Settings, settingsOf, showModelSwitches } from "./settings";
import { Player, VideoPanel } from "./video_panel";

/** The content of the screen: an image with predictions, or a camera or video, running or stopped. */
export type Shown =
  | { kind: "nothing" }
  | { kind: "image"; item: GalleryItem }
  | { kind: "video"; video: VideoPredictor };

export class Page {
  chosenNumber = 1;
  predictions: ImagePredictions | null = null;
  readonly messages = new Messages();
  readonly drawing = new BoxDrawing();
  readonly player = new Player();
  readonly videoPanel: VideoPanel;
  /** Called after another face was chosen. */
  onChoose: () => void = () => {};
  /** Called after faces were shown. */
  onRefresh: () => void = () => {};
  readonly #bars = new Bars(() => this.refresh());
  /** Whether a face was shown or listed, so that there is something to save. */
  #hasFaces = false;
  #map: { face: NumberedFace; values: Float32Array; top: string } | null = null;

  constructor(
    public manifest: Manifest,
    readonly settings: Settings,
  ) {
    this.videoPanel = new VideoPanel(settings, (source, face) => this.prediction(source, face), (seconds) => this.player.jump(seconds));
    // Captions and the timeline are placed in pixels: place them anew when a phone is turned or the window changes.
    const resized = () => {
      if (this.predictions) this.refresh();
      this.videoPanel.draw(this.chosenFace);
    };
    const observer = new ResizeObserver(resized);
    for (const id of ["boxes", "screen", "timeline-canvas"]) observer.observe(element(id));
  }

  /** The prediction for a face by the chosen output and label scheme. */
  prediction(source: string, face: Classified): Prediction {
    return predictionOf(source, face, this.settings.output, this.settings.scheme);
  }

  /** Show results of another model. Remove the predictions of the previous model first. */
  useManifest(manifest: Manifest): void {
    this.manifest = manifest;
    Object.assign(this.settings, settingsOf(defaultOutput(outputsOf(manifest))));
  }

  /** Choose a face. */
  choose(number: number): void {
    this.chosenNumber = number;
    this.forgetMap();
    this.refresh();
    this.videoPanel.draw(this.chosenFace);
    this.onChoose();
  }

  get chosenFace(): NumberedFace | null {
    const faces = this.predictions?.faces;
    return faces?.find(({ number }) => number === this.chosenNumber) ?? faces?.[0] ?? null;
  }

  /** Show something else; no face is then chosen, explained or announced. */
  showScreen(shown: Shown): void {
    this.chosenNumber = 1;
    this.#hasFaces = false;
    this.forgetMap();
    this.drawing.stop();
    this.videoPanel.reset();
    element("invitation").hidden = shown.kind !== "nothing";
    element("frame").hidden = shown.kind === "nothing";
    element("image").hidden = shown.kind !== "image";
    element("video").hidden = shown.kind !== "video";
    element("timeline").hidden = shown.kind !== "video";
    element("player").hidden = shown.kind !== "video" || !shown.video.clip;
    this.player.enabled = false;
    const predictions = shown.kind === "image" ? shown.item.predictions! : null;
    // In a face crop the whole image is the face, so no box is drawn.
    element("draw-offer").hidden = shown.kind !== "image" || element<HTMLInputElement>("face-crops").checked;
    element("classify-whole").hidden = predictions?.faces.length !== 0;
    element("mirror-switch").hidden = shown.kind === "nothing";
    const source = shown.kind !== "video" ? "choose-images" : shown.video.clip ? "play-video" : "use-camera";
    for (const id of ["choose-images", "use-camera", "play-video"]) element(id).classList.toggle("primary", id === source);
    const { videoWidth: width, videoHeight: height } = element<HTMLVideoElement>("video");
    if (!predictions) this.#setSize({ width, height });
    this.show(predictions);
  }

  draw({ source, width, height }: DecodedImage): void {
    const canvas = element<HTMLCanvasElement>("image");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d")!.drawImage(source, 0, 0);
  }

  /** Describe what was found in the image on the screen. */
  summary({ file: { name } }: GalleryItem): string {
    const { faces = [], hint } = this.predictions ?? {};
    const [face] = faces;
    const answer = face && answerText(this.prediction(name, face), this.settings.minConfidence);
    const found = answer
      ? translate(faces.length > 1 ? "many_faces" : "one_face", { name, answer, count: faces.length })
      : translate("no_face", { name });
    return hint ? `${found} ${translate(hint, { choice: translate("face_crops") })}` : found;
  }

  /** Show other faces, of another image or the next frame. */
  show(predictions: ImagePredictions | null): void {
    this.predictions = predictions;
    // A phone that is turned changes the size of its camera's images.
    if (predictions) this.#setSize(predictions);
    this.refresh();
  }

  /** Show everything again, after a change of settings or faces. */
  refresh(): void {
    const { minConfidence, mirror, scheme } = this.settings;
    const face = this.chosenFace;
    this.#hasFaces ||= face !== null;
    const prediction = face && this.predictions ? this.prediction(this.predictions.source, face) : null;
    // In a video, another face may have replaced the face of the map.
    if (face && face.number !== this.#map?.face.number) this.#map = null;
    const several = (this.predictions?.faces.length ?? 0) > 1;
    element("prediction-title").textContent = several
      ? translate("prediction_for", { number: face!.number })
      : translate("prediction");
    showAnswer(element("answer"), prediction, minConfidence);
    showDetectionScore(element("detection-score"), prediction);
    showDerived(element("derived"), element("derived-values"), prediction);
    this.#bars.show(Object.keys(scheme.groups), prediction);
    const explain = element<HTMLButtonElement>("explain");
    // A button that is disabled loses the focus, and a face may be missed in one frame.
    explain.disabled = !prediction && explain !== document.activeElement;
    explain.setAttribute("aria-disabled", String(!prediction));
    element("remove-box").hidden = !face?.box || face.score !== null;
    for (const id of ["copy", "save", "save-table"]) element<HTMLButtonElement>(id).disabled = !this.#hasFaces;
    element("frame").classList.toggle("mirrored", mirror);
    if (this.predictions) this.#showBoxes(this.predictions, face);
    else element("boxes").replaceChildren();
    this.#showMap();
    this.onRefresh();
  }

  /** Show everything again in the chosen language. */
  retranslate(): void {
    const { minConfidence, output: { byVotes, rule } } = this.settings;
    translateDocument(document);
    showModelSwitches(this.manifest, this.settings);
    this.messages.retranslate();
    element("min-confidence-value").textContent = percent(minConfidence);
    element<HTMLInputElement>("min-confidence").value = String(Math.round(100 * minConfidence));
    element("min-confidence").setAttribute("aria-valuetext", percent(minConfidence));
    element("meaning").textContent = translate(byVotes && !rule ? "shares_of_people" : "not_a_feeling");
    const minScore = element<HTMLInputElement>("min-score");
    element("min-score-value").textContent = percent(Number(minScore.value) / 100);
    element("model").textContent = this.#modelText();
    element("answer-model").textContent = translate("answer_model", { name: fullName(this.manifest) });
    this.refresh();
    this.player.refresh();
    this.videoPanel.draw(this.chosenFace);
  }

  /** The list of the images' faces. `chosen` is the image on the screen. */
  showImages(items: readonly GalleryItem[], chosen: GalleryItem | null, choose: (entry: Entry) => void): void {
    const isChosen = ({ item, face }: Entry) => item === chosen && (!face || face.number === this.chosenFace?.number);
    const entries = entriesOf(items);
    this.#hasFaces ||= entries.some(({ face }) => face);
    showImageList(entries, isChosen, ({ item, face }) => this.captionOf(item, face), choose);
    element("image").setAttribute("aria-label", chosen ? translate("image_label", { name: chosen.file.name }) : "");
  }

  /** A line about a face of a processed image, by default its first, with its number if there are others. */
  captionOf({ predictions }: GalleryItem, face = predictions!.faces[0] ?? null): string {
    if (!face) return translate("no_face_short");
    const caption = captionText(this.prediction(predictions!.source, face), this.settings.minConfidence);
    return predictions!.faces.length > 1 ? translate("face_caption", { number: face.number, caption }) : caption;
  }

  /** Show the occlusion map of a face. */
  setMap(face: NumberedFace, values: Float32Array, top: string): void {
    this.#map = { face, values, top };
    this.#showMap();
  }

  forgetMap(): void {
    this.#map = null;
    this.#showMap();
  }

  #modelText(): string {
    const { name, precision } = this.manifest;
    const { accuracy } = this.settings.output;
    if (accuracy === null) return translate("model_unmeasured", { name, precision });
    return translate("model", { name, precision, accuracy: percent(accuracy, 1) });
  }

  #setSize({ width, height }: { width: number; height: number }): void {
    element("frame").style.setProperty("--width", String(width));
    element("frame").style.setProperty("--ratio", String(width / Math.max(height, 1)));
  }

  #showMap(): void {
    element("map").hidden = !this.#map;
    if (!this.#map) return;
    const { face, values, top } = this.#map;
    const canvas = element<HTMLCanvasElement>("map-canvas");
    drawMap(canvas, face.crop, values, this.settings.mirror);
    canvas.setAttribute("aria-label", translate("map_label", { expression: expression(top) }));
    element("map-caption").textContent = translate("map_caption", { expression: expression(top) });
  }

  #showBoxes({ source, width, height, faces }: ImagePredictions, chosen: NumberedFace | null): void {
    const { minConfidence, mirror } = this.settings;
    const boxes = faces.flatMap((face) => {
      const { box, number } = face;
      if (!box) return [];
      const prediction = this.prediction(source, face);
      const captions = [captionText(prediction, minConfidence), largeText(prediction, minConfidence)];
      return {
        number,
        box,
        captions: faces.length > 1 ? [...captions.map((caption) => translate("face_caption", { number, caption })), String(number)] : captions,
        label: translate("face_answer", { number, answer: answerText(prediction, minConfidence) }),
        colour: answerColour(prediction, minConfidence),
        inDoubt: isInDoubt(prediction, minConfidence),
        chosen: face === chosen,
        choose: () => this.choose(number),
      };
    });
    showBoxes(element("boxes"), boxes, width, height, mirror);
  }
}

/** A face of an image; null if the image has no face or is not processed yet. */
export interface Entry {
  item: GalleryItem;
  face: NumberedFace | null;
}

/** One entry per face of each image, in the order of the list. */
export function entriesOf(items: readonly GalleryItem[]): Entry[] {
  return items.flatMap((item): Entry[] => {
    const faces = item.predictions?.faces ?? [];
    return faces.length ? faces.map((face) => ({ item, face })) : [{ item, face: null }];
  });
}

/** Show a button per entry, with its answer and the image's name. One entry may be the face on the screen. */
export function showImageList(
  entries: Entry[],
  isChosen: (entry: Entry) => boolean,
  answer: (entry: Entry) => string,
  choose: (entry: Entry) => void,
): void {
  element("gallery").hidden = !entries.length;
  const rows = resizeChildren(element("images"), entries.length, copiesOf("listed-image"));
  rows.forEach((row, index) => {
    const entry = entries[index]!;
    const button = row.firstElementChild as HTMLButtonElement;
    const [thumbnail, text, name] = [...button.children] as [HTMLCanvasElement, HTMLElement, HTMLElement];
    drawThumbnail(thumbnail, entry.face?.thumbnail ?? entry.item.thumbnail);
    text.textContent = entry.item.predictions ? answer(entry) : "…";
    name.textContent = entry.item.file.name;
    const chosen = isChosen(entry);
    if (chosen && button.getAttribute("aria-pressed") !== "true") reveal(row);
    button.setAttribute("aria-pressed", String(chosen));
    button.onclick = () => choose(entry);
  });
}

/** Scroll the list, not the page, until an entry is in it. */
function reveal(row: HTMLElement): void {
  const list = row.parentElement!;
  const start = row.offsetTop - list.offsetTop;
  list.scrollTop = Math.min(start, Math.max(list.scrollTop, start + row.offsetHeight - list.clientHeight));
}

/** Draw a thumbnail only once: the page remembers what each canvas shows. */
function drawThumbnail(canvas: HTMLCanvasElement, thumbnail: OffscreenCanvas | undefined): void {
  if (drawn.get(canvas) === thumbnail) return;
  canvas.width = thumbnail?.width ?? 1;
  canvas.height = thumbnail?.height ?? 1;
  if (thumbnail) canvas.getContext("2d")!.drawImage(thumbnail, 0, 0);
  drawn.set(canvas, thumbnail);
}

const drawn = new WeakMap<HTMLCanvasElement, OffscreenCanvas | undefined>();
