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

  /** `whole` says whether each picture is a face already, as of now. */
  constructor(
    private readonly reader: Promise<Reader>,
    private readonly whole: () => boolean,
  ) {}

  add(files: File[]): Item[] {
    const items = files.map((file) => ({ file }));
    this.items.push(...items);
    return items;
  }

  /** Returns whether it was still there: two may have looked at the same picture. */
  remove(item: Item): boolean {
    const index = this.items.indexOf(item);
    if (index < 0) return false;
    this.items.splice(index, 1);
    return true;
  }

  /** Open a picture and read it, unless it has been read. Raises Fault. */
  async look(item: Item): Promise<Picture> {
    const picture = await openPicture(item.file);
    const reader = await this.reader;
    while (!item.seen) {
      const whole = this.whole();
      const faces = await (whole ? reader.readWhole(picture) : reader.readPicture(picture));
      // What was read as something else than it is to be by now counts for nothing.
      if (whole === this.whole()) item.seen = seenOf(item, picture, faces);
    }
    return picture;
  }

  /** Read a picture anew as one face. Raises Fault. */
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
