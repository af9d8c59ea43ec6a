import type { GalleryItem } from "../predictions/gallery";
import { resizeChildren } from "./elements";

/** A button for each image, with its name and its answer. One image may be the one on the screen. */
export function showImageList(
  list: HTMLElement,
  items: GalleryItem[],
  chosen: GalleryItem | null,
  caption: (item: GalleryItem) => string,
  choose: (item: GalleryItem) => void,
): void {
  list.hidden = !items.length;
  const rows = resizeChildren(list, items.length, makeRow);
  rows.forEach((row, index) => {
    const item = items[index]!;
    const button = row.firstElementChild as HTMLButtonElement;
    const [thumbnail, name, answer] = [...button.children] as [HTMLCanvasElement, HTMLElement, HTMLElement];
    drawThumbnail(thumbnail, item);
    name.textContent = item.file.name;
    answer.textContent = caption(item);
    button.setAttribute("aria-pressed", String(item === chosen));
    button.onclick = () => choose(item);
  });
}

function makeRow(): HTMLLIElement {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  const thumbnail = document.createElement("canvas");
  thumbnail.setAttribute("aria-hidden", "true");
  button.append(thumbnail, document.createElement("span"), document.createElement("span"));
  row.append(button);
  return row;
}

/** Draw it once: each canvas remembers of which file it is. */
function drawThumbnail(canvas: HTMLCanvasElement, { file, thumbnail }: GalleryItem): void {
  if (drawn.get(canvas) === (thumbnail && file)) return;
  canvas.width = thumbnail?.width ?? 1;
  canvas.height = thumbnail?.height ?? 1;
  if (thumbnail) canvas.getContext("2d")!.drawImage(thumbnail, 0, 0);
  drawn.set(canvas, thumbnail && file);
}

const drawn = new WeakMap<HTMLCanvasElement, File | undefined>();
