/** The pictures that were dropped, pasted or chosen, and what was read in each. */

import type { Picture, ReadFace, Reader } from "./reader";
import type { Seen } from "./seen";
import { openPicture } from "./sources/picture";

export interface Item {
  file: File;
  /** Missing until the picture is read; empty where no face was found. */
  seen?: Seen;
}

export class Gallery {
  readonly items: Item[] = [];

  constructor(private readonly reader: Promise<Reader>) {}

  add(files: File[]): Item[] {
    const items = files.map((file) => ({ file }));
    this.items.push(...items);
    return items;
  }

  remove(item: Item): void {
    this.items.splice(this.items.indexOf(item), 1);
  }

  /** Open a picture and read it, unless it has been read. Raises PictureFault. */
  async look(item: Item, whole: boolean): Promise<Picture> {
    const picture = await openPicture(item.file);
    if (!item.seen) {
      const reader = await this.reader;
      item.seen = seenOf(item, picture, await (whole ? reader.readWhole(picture) : reader.readPicture(picture)));
    }
    return picture;
  }

  /** Read a picture anew as one face. */
  async readWhole(item: Item): Promise<void> {
    const picture = await openPicture(item.file);
    item.seen = seenOf(item, picture, await (await this.reader).readWhole(picture));
  }

  /** Forget what was read, so that every picture is read anew. */
  forget(): void {
    for (const item of this.items) delete item.seen;
  }
}

function seenOf(item: Item, { width, height }: Picture, faces: ReadFace[]): Seen {
  return { source: item.file.name, width, height, faces: faces.map((face, index) => ({ number: index + 1, ...face })) };
}
