import type { Box } from "../faces/box";
import { children } from "./elements";

export interface ShownBox {
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
  const buttons = children(layer, boxes.length, makeButton);
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

function makeButton(): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.append(document.createElement("span"));
  return button;
}
