import type { Box } from "../faces/box";

export interface ShownBox {
  /** The face's number: its button stays the same while the face is shown. */
  number: number;
  box: Box;
  /** The text at the box, and the label for a screen reader. */
  caption: string;
  label: string;
  /** The colour of the expression; null of what is none, or unsure, whose box is dashed. */
  colour: string | null;
  chosen: boolean;
  choose: () => void;
}

/** Captions of narrower boxes would cover one another. */
const MIN_CAPTION_BOX_PX = 40;

/** A button over each face, so that mouse, finger and keyboard can choose it. */
export function showBoxes(layer: HTMLElement, boxes: ShownBox[], width: number, height: number, mirror: boolean): void {
  const buttons = buttonsOf(layer, boxes);
  let chosenButton: HTMLButtonElement | undefined;
  boxes.forEach(({ box, caption, label, colour, chosen, choose }, index) => {
    const button = buttons[index]!;
    const left = mirror ? width - box.left - box.width : box.left;
    button.style.left = `${(100 * left) / width}%`;
    button.style.top = `${(100 * box.top) / height}%`;
    button.style.width = `${(100 * box.width) / width}%`;
    button.style.height = `${(100 * box.height) / height}%`;
    button.style.setProperty("--colour", colour ?? "#fff");
    button.classList.toggle("doubt", !colour);
    // A caption beyond the image's edge would be cut off.
    button.classList.toggle("below", box.top < 0.08 * height);
    // A small box shows its caption only while it is chosen.
    button.classList.toggle("small", (layer.clientWidth * box.width) / width < MIN_CAPTION_BOX_PX);
    if (chosen) chosenButton = button;
    button.setAttribute("aria-pressed", String(chosen));
    button.setAttribute("aria-label", label);
    button.firstElementChild!.textContent = caption;
    button.onclick = choose;
  });
  fitCaptions(layer, chosenButton ? [chosenButton, ...buttons.filter((each) => each !== chosenButton)] : buttons);
}

/**
 * Move captions into the image, and hide those that would cover another caption until their face is chosen. The first
 * button's caption is always shown.
 */
function fitCaptions(layer: HTMLElement, buttons: HTMLButtonElement[]): void {
  const frame = layer.getBoundingClientRect();
  const placed: DOMRect[] = [];
  for (const button of buttons) {
    const caption = button.firstElementChild as HTMLElement;
    caption.style.translate = "";
    const { left, right } = caption.getBoundingClientRect();
    caption.style.translate = `${Math.round(Math.max(Math.min(frame.right - right, 0), frame.left - left))}px`;
    const fitted = caption.getBoundingClientRect();
    const isCovering = placed.some((other) => overlap(fitted, other));
    button.classList.toggle("small", button.classList.contains("small") || isCovering);
    if (!button.classList.contains("small")) placed.push(fitted);
  }
}

function overlap(one: DOMRect, other: DOMRect): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

/** The button of each box. A removed button passes the focus to the first, or to the layer until there is a box. */
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
  const focusIsFree = activeElement === layer || [...present.values()].includes(activeElement as Element);
  // No scrolling: the user may be reading further below.
  if (focusIsFree) (buttons[0] ?? layer).focus({ preventScroll: true });
  for (const button of present.values()) button.remove();
  return buttons;
}

function makeButton(): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.append(document.createElement("span"));
  return button;
}
