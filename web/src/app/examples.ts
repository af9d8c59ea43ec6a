/** The four generated portraits on the first screen, with the page's answers. */

import { besidePage, fetchFile } from "../model/download";
import { Gallery } from "../predictions/gallery";
import type { Predictor } from "../predictions/predictor";
import { copiesOf, element, resizeChildren } from "../view/elements";
import type { Page } from "../view/page";

/** Addresses of the portraits, by file path. */
const PORTRAITS = import.meta.glob<string>("../../../src/mien/shipped/faces/*.jpg", { eager: true, query: "?url", import: "default" });

export class Examples {
  readonly #gallery: Gallery;

  /** `open` adds files to the page's images and shows the first. */
  constructor(
    private readonly page: Page,
    predictor: Promise<Predictor>,
    private readonly open: (files: File[]) => void,
  ) {
    this.#gallery = new Gallery(predictor, () => false);
  }

  /** Forget the answers of another model. */
  forget(): void {
    this.#gallery.forget();
  }

  /** Classify the portraits while the first screen is shown. They are fetched once. */
  async classify(): Promise<void> {
    if (element("invitation").hidden) return;
    try {
      if (!this.#gallery.items.length) this.#gallery.add(await Promise.all(Object.entries(PORTRAITS).map(fetchPortrait)));
      for (const item of this.#gallery.items) {
        await this.#gallery.process(item);
        this.show();
      }
    } catch (error) {
      // Without them the page works as well.
      console.warn(error);
    }
  }

  show(): void {
    const items = this.#gallery.items.filter(({ predictions }) => predictions);
    element("examples-title").hidden = !items.length;
    const rows = resizeChildren(element("examples"), items.length, copiesOf("example"));
    items.forEach((item, at) => {
      const button = rows[at]!.firstElementChild as HTMLButtonElement;
      const [image, answer] = button.children as unknown as [HTMLImageElement, HTMLElement];
      image.src ||= URL.createObjectURL(item.file);
      answer.textContent = this.page.captionOf(item);
      const files = this.#gallery.items.map(({ file }) => file);
      button.onclick = (event) => {
        // A click beside the examples chooses files.
        event.stopPropagation();
        this.open([item.file, ...files.filter((file) => file !== item.file)]);
      };
    });
  }
}

async function fetchPortrait([path, address]: [string, string]): Promise<File> {
  const bytes = await (await fetchFile(besidePage(address))).blob();
  return new File([bytes], path.split("/").at(-1)!, { type: "image/jpeg" });
}
