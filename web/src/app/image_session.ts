/** Processes images one after another, shows the chosen one, and lists all. */

import type { Box } from "../faces/box";
import { translate } from "../locales/translate";
import { Gallery, type GalleryItem } from "../predictions/gallery";
import type { Predictor } from "../predictions/predictor";
import type { DecodedImage } from "../preprocess/image";
import { openImage } from "../sources/image_file";
import { element } from "../view/elements";
import type { Page } from "../view/page";
import type { Stage } from "./stage";

export class ImageSession {
  readonly #gallery: Gallery;
  #processingRest = false;
  /** The status while an image is opened. */
  #processing = () => "";

  constructor(
    private readonly page: Page,
    private readonly stage: Stage,
    predictor: Promise<Predictor>,
  ) {
    this.#gallery = new Gallery(predictor, () => element<HTMLInputElement>("face-crops").checked);
    stage.onChange = () => this.showList();
    page.onChoose = () => this.showList();
  }

  get items(): readonly GalleryItem[] {
    return this.#gallery.items;
  }

  /** Add image files to the list, and process them. */
  add(files: File[]): Promise<void> {
    return this.process(this.#gallery.add(files));
  }

  /** Show the first of these images that can be shown, and one of its faces; then process the rest. */
  async process(items: GalleryItem[], face = 1): Promise<void> {
    this.showList();
    // Skip what was removed meanwhile: by another call that failed to process it, or with the whole list.
    for (const item of items) if (this.items.includes(item) && (await this.#choose(item, face))) break;
    this.showList();
    // If another call is already processing the list, it will process these images too.
    if (this.#processingRest) return;
    this.#processingRest = true;
    // Stop if a camera or video was started meanwhile.
    while (this.stage.shown.kind !== "video") {
      const item = this.items.find(({ predictions }) => !predictions);
      if (!item) break;
      await this.#gallery.process(item).catch((error: unknown) => this.#refuse(item, error));
      this.showList();
    }
    this.#processingRest = false;
  }

  /** Process what is left. If nothing is on the screen, show the first image. */
  goOn(): Promise<void> {
    return this.process(this.stage.shown.kind === "nothing" ? [...this.items] : []);
  }

  /** Remove all images from the list and the screen. */
  clear(): void {
    this.#gallery.clear();
    this.page.messages.clearProblems();
    this.page.messages.replace(this.#processing, this.stage.summary);
    if (this.stage.shown.kind === "image") this.stage.show({ kind: "nothing" });
    // The clicked button will be hidden.
    element("choose-images").focus();
    this.showList();
  }

  /** Forget all predictions, so that every image is processed again. */
  forget(): void {
    this.#gallery.forget();
  }

  /** Classify a face in a box drawn by the user on the shown image, in its pixels. */
  async addFace(box: Box): Promise<void> {
    const item = this.#shownItem;
    if (!item) return;
    try {
      const number = await this.#gallery.addFace(item, box);
      if (this.#shownItem !== item) return this.showList();
      this.stage.show({ kind: "image", item });
      this.page.choose(number);
    } catch (error) {
      this.#refuse(item, error);
    }
  }

  /** Remove the box of the chosen face, drawn by the user. */
  async removeBox(): Promise<void> {
    const { shown } = this.stage;
    const box = this.page.chosenFace?.box;
    if (shown.kind !== "image" || !box) return;
    // The clicked button will be hidden.
    element("draw-box").focus();
    this.#gallery.removeBox(shown.item, box);
    await this.process([shown.item]);
  }

  /** Process all images again after a detection setting changed. */
  async repeat(): Promise<void> {
    this.page.messages.clearProblems();
    this.#gallery.forget();
    const { shown } = this.stage;
    // While a camera or video runs, images wait until one is chosen or added.
    if (shown.kind !== "video") await this.process(shown.kind === "image" ? [shown.item] : []);
  }

  /** Classify the image on the screen as one face. */
  async classifyWhole(): Promise<void> {
    const item = this.#shownItem;
    if (!item) return;
    const button = element("classify-whole");
    const focused = document.activeElement === button;
    try {
      await this.#gallery.processWhole(item);
    } catch (error) {
      return this.#refuse(item, error);
    }
    if (this.#shownItem !== item) return this.showList();
    this.stage.show({ kind: "image", item });
    // Browsers notice only later that the button is hidden. Move the focus to the most likely next button.
    const focusIsFree = [button, document.body].includes(document.activeElement as HTMLElement);
    if (focused && focusIsFree) element("explain").focus();
  }

  get #shownItem(): GalleryItem | null {
    const { shown } = this.stage;
    return shown.kind === "image" ? shown.item : null;
  }

  /** The list of images, with their faces. */
  showList(): void {
    const current = this.#shownItem;
    this.page.showImages(this.items, current, ({ item, face }) => {
      if (item === current && face) return this.page.choose(face.number);
      this.page.messages.clearProblems();
      void this.process([item], face?.number);
    });
  }

  /** Show an image and choose one of its faces. Returns false if it cannot be shown; true even if something else was started. */
  async #choose(item: GalleryItem, face: number): Promise<boolean> {
    // A file that is no image leaves a running camera or video as it is.
    if (this.stage.isRunning) {
      const { turn } = this.stage;
      try {
        await openImage(item.file);
      } catch (error) {
        this.#refuse(item, error);
        return false;
      }
      // Meanwhile the list was cleared, or something else was started.
      if (!this.stage.isCurrent(turn) || !this.items.includes(item)) return true;
    }
    const turn = this.stage.stop();
    this.#processing = () => translate("processing", { name: item.file.name });
    this.page.messages.show(this.#processing);
    let image: DecodedImage;
    try {
      image = await this.#gallery.processToShow(item);
    } catch (error) {
      this.#refuse(item, error);
      if (!this.stage.isCurrent(turn)) return true;
      this.page.messages.show(this.stage.summary);
      return false;
    }
    if (!this.stage.isCurrent(turn) || !this.items.includes(item)) return true;
    this.page.draw(image);
    this.stage.show({ kind: "image", item });
    if (face !== 1) this.page.choose(face);
    return true;
  }

  /** Remove an image that failed, and report the reason once. */
  #refuse(item: GalleryItem, error: unknown): void {
    if (!this.#gallery.remove(item)) return;
    const { shown } = this.stage;
    if (shown.kind === "image" && shown.item === item) this.stage.show({ kind: "nothing" });
    this.stage.report(item.file.name, error);
    this.showList();
  }
}
