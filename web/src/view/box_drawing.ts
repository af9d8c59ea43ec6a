/** Lets the user draw a box around a face that was not detected. */

import type { Box } from "../faces/box";
import { type Key, translate } from "../locales/translate";
import { element } from "./elements";

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
