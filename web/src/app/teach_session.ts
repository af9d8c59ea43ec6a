/** Lets the user teach the page: name classes, add their faces, and make a model. */

import { type Problem, problem } from "../errors";
import { list, translate } from "../locales/translate";
import { Classifier } from "../model/classifier";
import { fullName } from "../model/manifest";
import { PageError, reasonOf } from "../page_error";
import type { NumberedFace, Predictor } from "../predictions/predictor";
import { saveFile } from "../predictions/saved_files";
import { openImage } from "../sources/image_file";
import { checkClasses, LessonError, type Origin, originOf, type Taught, type TaughtClass, teach } from "../teach/teach";
import { element } from "../view/elements";
import { showProblems } from "../view/messages";
import type { Page } from "../view/page";
import { showTeachClasses, showTaught } from "../view/teach_panel";
import type { Stage } from "./stage";

/** Time between two faces of a recording, and the largest number of faces. */
const RECORDED = { everyMilliseconds: 200, faces: 100 };

export class TeachSession {
  readonly #classes: TaughtClass[] = [];
  #origin: Origin | null = null;
  #taught: Taught | null = null;
  /** The class that is recorded, and the timer of the recording. */
  #recording: { into: TaughtClass; timer: number } | null = null;
  #recordings = 0;
  /** Progress of the training, 0..1; null if none is running. */
  #progress: number | null = null;
  #cell: [number, number] | null = null;
  /** Images that are being read. */
  readonly #reading = new Set<Promise<void>>();
  #couldAdd = false;
  #problems: Problem[] = [];

  constructor(
    private readonly page: Page,
    private readonly stage: Stage,
    private readonly predictor: Promise<Predictor>,
    private readonly addModel: (name: string, open: () => Promise<Classifier>) => Promise<boolean>,
  ) {
    element("teach-add").onclick = () => this.#addClass();
    element("teach-train").onclick = () => void this.#teach();
    element("teach-save").onclick = () => this.#taught && saveFile(this.#taught.file, "taught.onnx");
    page.onRefresh = () => this.#canAdd !== this.#couldAdd && this.show();
    element<HTMLDetailsElement>("teach").ontoggle = () => {
      while (this.#classes.length < 2) this.#addClass();
    };
  }

  /** Prepare to train an opened model further. The model's classes are shown, unless faces were already added. */
  goOnFrom(classifier: Classifier): void {
    const before = this.#origin?.classifier;
    this.#origin = originOf(classifier);
    if (before && before !== classifier) void before.dispose();
    if (!this.#origin || this.#classes.some(({ faces }) => faces.length)) return;
    this.#classes.splice(0, Infinity, ...classifier.manifest.classes.map((name) => ({ name, faces: [] })));
    this.show();
  }

  /** Whether training continues from this model. */
  needs(classifier: Classifier): boolean {
    return this.#origin?.classifier === classifier;
  }

  /** Whether a face is on the screen, or may come: while a camera or video runs, it comes and goes. */
  get #canAdd(): boolean {
    return this.page.chosenFace !== null || (this.stage.shown.kind === "video" && this.stage.isRunning);
  }

  get #canTeach(): boolean {
    return this.#reading.size > 0 || this.#classes.filter(({ faces }) => faces.length).length > 1;
  }

  show(): void {
    this.#couldAdd = this.#canAdd;
    const state = { recorded: this.#recording?.into, progress: this.#progress, canAdd: this.#couldAdd, canTeach: this.#canTeach };
    showProblems(this.#problems, "teach-errors");
    showTeachClasses(this.#classes, state, {
      addImages: (into, files) => {
        const reading = this.#addImages(into, files).finally(() => {
          this.#reading.delete(reading);
          this.show();
        });
        this.#reading.add(reading);
        this.show();
      },
      addShown: (into) => this.#addShown(into),
      remove: (one) => {
        if (this.#recording?.into === one) this.#stopRecording();
        this.#classes.splice(this.#classes.indexOf(one), 1);
        // The clicked button is removed, or hidden where two classes are left.
        element("teach-add").focus();
        this.show();
      },
      removeFace: (of, face) => {
        of.faces.splice(of.faces.indexOf(face), 1);
        this.show();
      },
    });
    showTaught(this.#taught, this.#cell, (cell) => {
      this.#cell = cell;
      this.show();
    });
  }

  #addClass(): void {
    const names = this.#classes.map(({ name }) => name);
    const nameOf = (number: number): string => translate("teach_class", { number });
    let number = names.length + 1;
    while (names.includes(nameOf(number))) number += 1;
    this.#classes.push({ name: nameOf(number), faces: [] });
    this.show();
  }

  /** Add the largest face of each image. */
  async #addImages(into: TaughtClass, files: File[]): Promise<void> {
    const { messages } = this.page;
    this.#problems = [];
    this.show();
    const predictor = await this.predictor;
    const without: string[] = [];
    for (const file of files) {
      messages.show(() => translate("processing", { name: file.name }));
      try {
        const image = await openImage(file);
        const areCrops = element<HTMLInputElement>("face-crops").checked;
        const [face] = await (areCrops ? predictor.predictCrop(image) : predictor.predictImage(image, []));
        if (face) into.faces.push({ crop: face.crop, side: Math.sqrt(face.crop.length) });
        else without.push(file.name);
      } catch (error) {
        this.#report(file.name, error);
      }
      this.show();
    }
    messages.show(this.stage.summary);
    if (without.length) this.#refuse("teach-no-face", without);
  }

  /** Add the chosen face on the screen. While a camera or video runs, record faces until it ends or this is called again. */
  #addShown(into: TaughtClass): void {
    const wasInto = this.#recording?.into;
    this.#stopRecording();
    if (wasInto === into) return this.show();
    this.#problems = [];
    const side = this.page.manifest.input.size_px;
    const face = this.page.chosenFace;
    const { shown: source } = this.stage;
    // A file shows the same faces again, also while it is paused. A camera does not.
    const clip = source.kind === "video" && source.video.clip ? source.video.source : undefined;
    if (source.kind !== "video" || !this.stage.isRunning) {
      if (face) into.faces.push({ crop: face.crop, side, recording: clip });
      return this.show();
    }
    const recording = clip ?? `recording ${(this.#recordings += 1)}`;
    let last: NumberedFace | null = null;
    let left = RECORDED.faces;
    const take = () => {
      if (this.stage.shown !== source || !this.stage.isRunning) {
        this.#stopRecording();
        return this.show();
      }
      const shown = this.page.chosenFace;
      if (!shown?.crop.length || shown.crop === last?.crop) return;
      last = shown;
      into.faces.push({ crop: shown.crop, side, recording });
      if (!(left -= 1)) this.#stopRecording();
      this.show();
    };
    this.#recording = { into, timer: window.setInterval(take, RECORDED.everyMilliseconds) };
    take();
    this.show();
  }

  #stopRecording(): void {
    window.clearInterval(this.#recording?.timer);
    this.#recording = null;
  }

  async #teach(): Promise<void> {
    if (this.#progress !== null || !this.#canTeach) return;
    this.#stopRecording();
    this.#problems = [];
    let name = translate("teach");
    try {
      this.#setProgress(0);
      await Promise.all(this.#reading);
      const given = this.#classes.filter(({ faces }) => faces.length);
      const classes = given.map(({ name, faces }) => ({ name: name.trim(), faces: [...faces] }));
      checkClasses(classes);
      // Stop a camera or video: it would slow down learning, and a new model ends it anyway.
      this.stage.stop();
      this.#taught = this.#cell = null;
      const { model } = await this.predictor;
      name = fullName(model.manifest);
      const taught = await teach(classes, model, this.#origin, (done) => this.#setProgress(done));
      if (await this.addModel("taught", () => Classifier.open(taught.file))) this.#taught = taught;
    } catch (error) {
      this.#report(name, error);
    } finally {
      this.#setProgress(null);
    }
  }

  #setProgress(done: number | null): void {
    this.#progress = done;
    this.show();
  }

  #report(name: string, error: unknown): void {
    if (error instanceof LessonError) return this.#refuse(error.code, error.names);
    if (error instanceof PageError) return this.#refuse(error.code, [name]);
    console.error(error);
    this.#refuse("prediction-failed", [name], reasonOf(error));
  }

  #refuse(code: PageError["code"], names: string[] = [], reason = ""): void {
    this.#problems.push(problem(code, () => ({ name: list(names), names: list(names), reason })));
    this.show();
  }
}
