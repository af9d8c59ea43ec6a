import type { Box } from "../faces/box";

export interface ShownBox {
  /** Of the face: its button stays the same while it is shown. */
  number: number;
  box: Box;
  /** What stands at the box, and what a screen reader says of it. */
  caption: string;
  label: string;
  chosen: boolean;
  choose: () => void;
}

const CAPTION_FITS_PX = 40;

/** A button over each face, so that faces are chosen by mouse, finger and keyboard alike. */
export function showBoxes(layer: HTMLElement, boxes: ShownBox[], width: number, height: number, mirror: boolean): void {
  const buttons = buttonsOf(layer, boxes);
  boxes.forEach(({ box, caption, label, chosen, choose }, index) => {
    const button = buttons[index]!;
    const left = mirror ? width - box.left - box.width : box.left;
    button.style.left = `${(100 * left) / width}%`;
    button.style.top = `${(100 * box.top) / height}%`;
    button.style.width = `${(100 * box.width) / width}%`;
    button.style.height = `${(100 * box.height) / height}%`;
    // A caption beyond the picture's edge would be cut off.
    button.classList.toggle("below", box.top < 0.08 * height);
    button.classList.toggle("leftwards", left > 0.6 * width);
    // Captions of many small faces would cover one another: those are shown of the chosen one alone.
    button.classList.toggle("small", (layer.clientWidth * box.width) / width < CAPTION_FITS_PX);
    button.setAttribute("aria-pressed", String(chosen));
    button.setAttribute("aria-label", label);
    button.firstElementChild!.textContent = caption;
    button.onclick = choose;
  });
}

/** Each box's button. One that goes gives the focus to the next, or to the layer, until there is one again. */
function buttonsOf(layer: HTMLElement, boxes: ShownBox[]): HTMLButtonElement[] {
  const present = new Map([...layer.children].map((button) => [(button as HTMLElement).dataset["face"], button]));
  const buttons = boxes.map(({ number }) => {
    const name = String(number);
    const button = (present.get(name) as HTMLButtonElement | undefined) ?? makeButton();
    button.dataset["face"] = name;
    present.delete(name);
    if (!button.isConnected) layer.append(button);
    return button;
  });
  const { activeElement } = document;
  const isFree = activeElement === layer || [...present.values()].includes(activeElement as Element);
  // Whoever reads further below is not taken back up.
  if (isFree) (buttons[0] ?? layer).focus({ preventScroll: true });
  for (const button of present.values()) button.remove();
  return buttons;
}

function makeButton(): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.append(document.createElement("span"));
  return button;
}
