/** Functions behind the controls of the page. */

import { problem, problemWith } from "../errors";
import type { Box } from "../faces/box";
import { list, translate } from "../locales/translate";
import { Classifier } from "../model/classifier";
import { occlusion } from "../model/occlusion";
import type { Probabilities } from "../heads/votes";
import { type ErrorCode, PageError, reasonOf } from "../page_error";
import { asCsv, asJson, saveFile, type SavedPrediction, type TableRow } from "../predictions/saved_files";
import { mergeProbabilities } from "../predictions/label_schemes";
import type { Predictor } from "../predictions/predictor";
import { element } from "../view/elements";
import type { Page } from "../view/page";
import { queue } from "../queue";
import { Examples } from "./examples";
import { ImageSession } from "./image_session";
import { Stage } from "./stage";
import { TeachSession } from "./teach_session";
import { VideoSession } from "./video_session";

const explaining = () => translate("explaining");

export class App {
  readonly stage: Stage;
  readonly images: ImageSession;
  readonly videos: VideoSession;
  readonly teaching: TeachSession;
  readonly examples: Examples;
  readonly #inTurn = queue();
  /** Offer another model and use it. Set by the list of models. */
  addModel: (name: string, open: () => Promise<Classifier>) => Promise<boolean> = async () => false;

  constructor(
    private readonly page: Page,
    private readonly predictor: Promise<Predictor>,
  ) {
    this.stage = new Stage(page);
    this.images = new ImageSession(page, this.stage, predictor);
    this.videos = new VideoSession(page, this.stage, this.images, predictor);
    this.teaching = new TeachSession(page, this.stage, predictor, (name, open) => this.addModel(name, open));
    this.examples = new Examples(page, predictor, (files) => void this.open(files));
  }

  /** Use the model files. Then add the images to the list, or play the first video. */
  async open(files: File[]): Promise<void> {
    const { messages } = this.page;
    messages.clearProblems();
    const models = files.filter(({ name }) => name.toLowerCase().endsWith(".onnx"));
    for (const model of models) await this.openModel(model);
    const rest = files.filter((file) => !models.includes(file));
    if (models.length && !rest.length) return;
    const videos = rest.filter(({ type }) => type.startsWith("video/"));
    // A file of unknown type may be an image; if it is none, an error names it.
    const images = rest.filter(({ type }) => type.startsWith("image/") || (!type && !videos.length));
    const others = rest.filter((file) => !images.includes(file) && !videos.includes(file));
    if (others.length === rest.length) return messages.addProblem(problem("files-unsupported"));
    const played = images.length ? undefined : videos.shift();
    this.#reportSkipped("videos-skipped", videos);
    this.#reportSkipped("files-skipped", others);
    await (played ? this.videos.play(played) : this.images.add(images));
  }

  /** Compute and show the occlusion map of the chosen face. */
  async explain(): Promise<void> {
    const face = this.page.chosenFace;
    const predictions = this.page.predictions;
    if (!face || !predictions) return;
    const { shown } = this.stage;
    const { output, scheme } = this.page.settings;
    this.page.messages.show(explaining);
    try {
      const predictor = await this.predictor;
      const { size_px: side, crop_px: seen } = predictor.manifest.input;
      const { top } = this.page.prediction("", face);
      const target = (all: Probabilities) => mergeProbabilities(all[output.name]!, output.classes, scheme)[top]!;
      const map = await occlusion((crops) => predictor.model.probabilities(crops), face.crop, side, seen, target);
      // Ignore the map if another face or scheme was chosen meanwhile. The face of a stopped camera is still there.
      const current = this.page.chosenFace ?? face;
      if (this.stage.shown !== shown || current.number !== face.number || this.page.settings.scheme !== scheme) return;
      this.page.setMap(face, map, top);
      element("map").scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.stage.report(predictions.source, error);
    } finally {
      this.page.messages.replace(explaining, this.stage.summary);
    }
  }

  /**
   * Use another model, and begin to classify everything again. A running camera or video is stopped, unless the model
   * cannot be opened. Models that are asked for meanwhile wait. A model that is no longer wanted in its turn is skipped.
   */
  useModel(name: string, opening: () => Promise<Classifier>, isWanted = () => true): Promise<boolean> {
    return this.#inTurn(async () => isWanted() && this.#useModel(name, opening));
  }

  async #useModel(name: string, opening: () => Promise<Classifier>): Promise<boolean> {
    const loading = () => translate("loading");
    const { messages } = this.page;
    messages.show(loading);
    try {
      const predictor = await this.predictor;
      const opened = await opening();
      this.stage.stop();
      const before = predictor.model;
      predictor.model = opened;
      if (!this.teaching.needs(before)) void before.dispose();
      const { shown } = this.stage;
      this.images.forget();
      this.examples.forget();
      this.stage.show({ kind: "nothing" });
      this.page.useManifest(predictor.manifest);
      this.refresh();
      void this.images.process(shown.kind === "image" ? [shown.item] : [...this.images.items]).then(() => this.examples.classify());
      return true;
    } catch (error) {
      messages.addProblem(error instanceof PageError ? problemWith(name, error) : problem("model-failed", () => ({ name, reason: reasonOf(error) })));
      return false;
    } finally {
      messages.replace(loading, this.stage.summary);
    }
  }

  /** Use a model file of the user, and continue teaching from it. */
  async openModel(file: File): Promise<void> {
    const open = async () => Classifier.open(new Uint8Array(await file.arrayBuffer()));
    if (await this.addModel(file.name, open)) this.teaching.goOnFrom((await this.predictor).model);
  }

  /** Show only faces with at least this detector score. */
  async setMinScore(score: number): Promise<void> {
    (await this.predictor).detector.minScore = score;
    await this.images.repeat();
  }

  /** Classify a face in a box drawn by the user, in fractions of the shown image. */
  async addFace({ left, top, width, height }: Box): Promise<void> {
    const { predictions } = this.page;
    if (!predictions) return;
    const mirrored = this.page.settings.mirror ? 1 - left - width : left;
    await this.images.addFace({
      left: Math.round(mirrored * predictions.width),
      top: Math.round(top * predictions.height),
      width: Math.max(Math.round(width * predictions.width), 1),
      height: Math.max(Math.round(height * predictions.height), 1),
    });
  }

  async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(asJson(this.predictions()));
      this.page.messages.show(this.#howMany("copied"));
    } catch {
      this.page.messages.addProblem(problem("copy-denied"));
    }
  }

  /** Save all predictions; a table has a row for each image without a face, too. */
  save(as: "json" | "csv"): void {
    saveFile(as === "json" ? asJson(this.predictions()) : asCsv(this.#rows()), `predictions.${as}`);
    this.page.messages.show(this.#howMany("saved"));
  }

  /** All predictions: of every image, or of every frame. */
  predictions(): SavedPrediction[] {
    return this.#rows().filter((row) => "answer" in row).map(({ face: _, ...prediction }) => prediction);
  }

  #rows(): TableRow[] {
    const { shown } = this.stage;
    if (shown.kind === "video") {
      const { video } = shown;
      return video.entries.map((entry) => ({
        time_seconds: entry.seconds,
        track: entry.number,
        ...this.page.prediction(video.source, entry),
      }));
    }
    return this.images.items.flatMap(({ predictions }): TableRow[] => {
      if (!predictions) return [];
      const { source, faces } = predictions;
      return faces.length ? faces.map((face) => ({ face: face.number, ...this.page.prediction(source, face) })) : [{ source, face: 0 }];
    });
  }

  /** The status after predictions were copied or saved. The status says if some images were not processed yet. */
  #howMany(done: "copied" | "saved"): () => string {
    const { items } = this.images;
    const count = this.stage.shown.kind === "video" ? 0 : items.length;
    const ready = items.filter(({ predictions }) => predictions).length;
    return () => (ready < count ? translate(`${done}_partly`, { ready, count }) : translate(done));
  }

  /** Show everything again, after a change of settings or language. */
  refresh(): void {
    this.page.retranslate();
    this.images.showList();
    this.examples.show();
    this.teaching.show();
  }

  #reportSkipped(code: ErrorCode, files: File[]): void {
    const names = () => ({ names: list(files.map(({ name }) => name)) });
    if (files.length) this.page.messages.addProblem(problem(code, names));
  }
}
