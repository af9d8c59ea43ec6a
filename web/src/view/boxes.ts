import { type Box, clipped, iou } from "../faces/box";
import { type Key, translate } from "../locales/translate";
import { element, make } from "./elements";

interface ShownBox {
  /** Number of the face; while the face is shown, its button is the same element. */
  number: number;
  box: Box;
  /** Texts at the box, of which the first that has room is shown, and label for a screen reader. */
  captions: string[];
  label: string;
  /** Colour of the expression; null if unsure or not a face. */
  colour: string | null;
  /** Whether the box is dashed. */
  inDoubt: boolean;
  chosen: boolean;
  choose: () => void;
}

/** Distance of a caption from its box, in CSS pixels. */
const GAP_PX = 4;

/** Show a button over each face, so that mouse, finger and keyboard can choose it. */
export function showBoxes(layer: HTMLElement, boxes: ShownBox[], width: number, height: number, mirror: boolean): void {
  const buttons = buttonsOf(layer, boxes);
  const [across, down] = [layer.clientWidth / width, layer.clientHeight / height];
  const shown = boxes.map(({ box, captions, label, colour, inDoubt, chosen, choose }, index) => {
    const button = buttons[index]!;
    const inside = clipped(mirror ? { ...box, left: width - box.left - box.width } : box, width, height);
    button.style.left = `${(100 * inside.left) / width}%`;
    button.style.top = `${(100 * inside.top) / height}%`;
    button.style.width = `${(100 * inside.width) / width}%`;
    button.style.height = `${(100 * inside.height) / height}%`;
    button.style.setProperty("--colour", colour ?? "#fff");
    button.classList.toggle("doubt", inDoubt);
    button.setAttribute("aria-pressed", String(chosen));
    button.setAttribute("aria-label", label);
    button.onclick = choose;
    const text = button.firstElementChild as HTMLElement;
    const place = { left: inside.left * across, top: inside.top * down, width: inside.width * across, height: inside.height * down };
    return { text, captions, place, chosen };
  });
  placeCaptions(layer, shown);
}

interface Caption {
  text: HTMLElement;
  captions: string[];
  /** Position of the box on the screen. */
  place: Box;
  chosen: boolean;
}

/**
 * Place each caption above, below or beside its box, without covering faces or other captions. If there is no room for
 * one of its texts, none is shown, because the answers are also in the list.
 */
function placeCaptions(layer: HTMLElement, all: Caption[]): void {
  // Captions may lie outside the image, but not outside the stage.
  const [image, stage] = [layer.getBoundingClientRect(), layer.closest("#screen")!.getBoundingClientRect()];
  const bounds = { left: stage.left - image.left, top: stage.top - image.top, width: stage.width, height: stage.height };
  const taken = all.map(({ place }) => place);
  // Place the chosen face's caption first, then that of the largest face.
  const order = all.toSorted((one, other) => Number(other.chosen) - Number(one.chosen) || other.place.width - one.place.width);
  for (const { text, captions, place } of order) {
    text.hidden = false;
    let spot: Box | null = null;
    for (const caption of captions) {
      text.textContent = caption;
      if ((spot = spotFor(text, place, bounds, taken))) break;
    }
    text.hidden = !spot;
    if (!spot) continue;
    taken.push(spot);
    text.style.translate = `${Math.round(spot.left - place.left)}px ${Math.round(spot.top - place.top)}px`;
  }
}

function spotFor(text: HTMLElement, place: Box, bounds: Box, taken: Box[]): Box | null {
  const { offsetWidth: width, offsetHeight: height } = text;
  const within = (x: number) => Math.max(Math.min(x, bounds.left + bounds.width - width), bounds.left);
  const [left, right] = [within(place.left), within(place.left + place.width - width)];
  const [above, below] = [place.top - height - GAP_PX, place.top + place.height + GAP_PX];
  const [before, after] = [place.left - width - GAP_PX, place.left + place.width + GAP_PX];
  const corners: [number, number][] = [[left, above], [right, above], [left, below], [right, below], [after, place.top], [before, place.top]];
  const spots = corners.map(([x, y]) => ({ left: x, top: y, width, height }));
  return spots.find((spot) => isInside(spot, bounds) && !taken.some((other) => iou(spot, other) > 0)) ?? null;
}

function isInside(one: Box, other: Box): boolean {
  const fits = one.left >= other.left && one.left + one.width <= other.left + other.width;
  return fits && one.top >= other.top && one.top + one.height <= other.top + other.height;
}

/** The button of each box. If the button with the focus is removed, the first button gets the focus, or the layer if
 * there is no box.
 */
function buttonsOf(layer: HTMLElement, boxes: ShownBox[]): HTMLButtonElement[] {
  const present = new Map([...layer.children].map((button) => [(button as HTMLElement).dataset["face"], button]));
  const buttons = boxes.map(({ number }) => {
    const name = String(number);
    const button = (present.get(name) as HTMLButtonElement | undefined) ?? make("button", { type: "button" }, make("span"));
    button.dataset["face"] = name;
    present.delete(name);
    if (!button.isConnected) layer.append(button);
    return button;
  });
  const { activeElement } = document;
  const focusIsFree = activeElement === layer || [...present.values()].includes(activeElement as Element);
  // Do not scroll, because the user may be reading further below.
  if (focusIsFree) (buttons[0] ?? layer).focus({ preventScroll: true });
  for (const button of present.values()) button.remove();
  return buttons;
}

/** A box with a shorter side than this, in CSS pixels, is ignored: it may have been a click. */
const MIN_SIDE_PX = 8;

/** While the button is switched on, dragging on the image draws a box. */
export class BoxDrawing {
  /** Called with fractions 0..1 of the shown image. */
  onBox: (fractions: Box) => void = () => {};
  readonly #button = element("draw-box");
  readonly #frame = element("frame");
  readonly #shape = document.createElement("div");
  #start: [number, number] | null = null;

  constructor() {
    this.#shape.className = "drawn";
    this.#button.onclick = () => this.#set(!this.#isDrawing);
    this.#frame.onpointerdown = (event) => this.#begin(event);
    this.#frame.onpointermove = (event) => this.#start && showShape(this.#shape, this.#boxTo(event));
    this.#frame.onpointercancel = () => this.stop();
    this.#frame.onpointerup = (event) => this.#end(event);
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#isDrawing && this.stop());
  }

  /** Stop drawing, and remove the message about it. */
  stop(): void {
    this.#set(false);
  }

  get #isDrawing(): boolean {
    return this.#button.getAttribute("aria-pressed") === "true";
  }

  #set(drawing: boolean, hint: Key = "draw_hint"): void {
    this.#button.setAttribute("aria-pressed", String(drawing));
    this.#frame.classList.toggle("drawing", drawing);
    const line = element("draw-hint");
    line.hidden = !drawing;
    line.dataset["text"] = hint;
    line.textContent = translate(hint);
    this.#start = null;
    this.#shape.remove();
  }

  #begin(event: PointerEvent): void {
    if (!this.#isDrawing || !event.isPrimary || event.button !== 0) return;
    this.#start = placeOf(event, this.#frame);
    this.#frame.setPointerCapture(event.pointerId);
    this.#frame.append(this.#shape);
    showShape(this.#shape, this.#boxTo(event));
  }

  #end(event: PointerEvent): void {
    if (!this.#start) return;
    const box = this.#boxTo(event);
    if (Math.min(box.width * this.#frame.clientWidth, box.height * this.#frame.clientHeight) < MIN_SIDE_PX) {
      return this.#set(true, "draw_too_small");
    }
    this.stop();
    this.onBox(box);
  }

  #boxTo(event: PointerEvent): Box {
    const [fromX, fromY] = this.#start!;
    const [x, y] = placeOf(event, this.#frame);
    const [left, top] = [Math.min(fromX, x), Math.min(fromY, y)];
    return { left, top, width: Math.abs(x - fromX), height: Math.abs(y - fromY) };
  }
}

function placeOf({ clientX, clientY }: PointerEvent, frame: HTMLElement): [number, number] {
  const { left, top, width, height } = frame.getBoundingClientRect();
  const within = (value: number) => Math.min(Math.max(value, 0), 1);
  return [within((clientX - left) / width), within((clientY - top) / height)];
}

function showShape(shape: HTMLElement, box: Box): void {
  for (const side of ["left", "top", "width", "height"] as const) shape.style[side] = `${100 * box[side]}%`;
}
