import type { Item } from "../gallery";
import { children } from "./elements";

/** A row of the pictures, of which one may be shown. */
export function showPictures(
  list: HTMLElement,
  items: Item[],
  chosen: Item | null,
  caption: (item: Item) => string,
  choose: (item: Item) => void,
): void {
  list.hidden = !items.length;
  const rows = children(list, items.length, makeRow);
  rows.forEach((row, index) => {
    const item = items[index]!;
    const button = row.firstElementChild as HTMLButtonElement;
    const [name, answer] = [...button.children] as HTMLElement[];
    name!.textContent = item.file.name;
    answer!.textContent = caption(item);
    button.setAttribute("aria-pressed", String(item === chosen));
    button.onclick = () => choose(item);
  });
}

function makeRow(): HTMLLIElement {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.append(document.createElement("span"), document.createElement("span"));
  row.append(button);
  return row;
}
