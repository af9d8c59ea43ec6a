/** A box that the user draws on the image, where a face was missed. */

import type { Box } from "../faces/box";
import { type Key, translate } from "../locales/translate";
import { element } from "./elements";

/** A box with a shorter side than this, in CSS pixels, is too small: it may have been a click. */
const MIN_SIDE_PX = 8;

/** While the button is pressed, a drag on the image draws a box. Calls `use` with fractions 0..1 of the shown image. */
export function bindBoxDrawing(use: (fractions: Box) => void): void {
  const [button, frame] = [element("draw-box"), element("frame")];
  const shape = document.createElement("div");
  shape.className = "drawn";
  let start: [number, number] | null = null;

  const setDrawing = (drawing: boolean, hint: Key = "draw_hint") => {
    button.setAttribute("aria-pressed", String(drawing));
    frame.classList.toggle("drawing", drawing);
    const line = element("draw-hint");
    line.hidden = !drawing;
    line.dataset["text"] = hint;
    line.textContent = translate(hint);
    start = null;
    shape.remove();
  };
  const boxTo = (event: PointerEvent): Box => {
    const [fromX, fromY] = start!;
    const [x, y] = placeOf(event, frame);
    const [left, top] = [Math.min(fromX, x), Math.min(fromY, y)];
    return { left, top, width: Math.abs(x - fromX), height: Math.abs(y - fromY) };
  };

  button.onclick = () => setDrawing(button.getAttribute("aria-pressed") !== "true");
  frame.onpointerdown = (event) => {
    if (!frame.classList.contains("drawing")) return;
    start = placeOf(event, frame);
    frame.setPointerCapture(event.pointerId);
    frame.append(shape);
    showShape(shape, boxTo(event));
  };
  frame.onpointermove = (event) => start && showShape(shape, boxTo(event));
  frame.onpointercancel = () => setDrawing(false);
  frame.onpointerup = (event) => {
    if (!start) return;
    const box = boxTo(event);
    if (Math.min(box.width * frame.clientWidth, box.height * frame.clientHeight) < MIN_SIDE_PX) {
      return setDrawing(true, "draw_too_small");
    }
    setDrawing(false);
    use(box);
  };
}

function placeOf({ clientX, clientY }: PointerEvent, frame: HTMLElement): [number, number] {
  const { left, top, width, height } = frame.getBoundingClientRect();
  const within = (value: number) => Math.min(Math.max(value, 0), 1);
  return [within((clientX - left) / width), within((clientY - top) / height)];
}

function showShape(shape: HTMLElement, box: Box): void {
  for (const side of ["left", "top", "width", "height"] as const) shape.style[side] = `${100 * box[side]}%`;
}
