import type { GalleryItem } from "../predictions/gallery";
import type { NumberedFace } from "../predictions/predictor";
import { copiesOf, element, resizeChildren } from "./elements";

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
