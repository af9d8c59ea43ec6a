/** An element of index.html by its id. */
export function element<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element '${id}'.`);
  return found as Kind;
}

/** Say something, where it is not said already: a screen reader says again what is written again. */
export function setText(where: HTMLElement, text: string): void {
  if (where.textContent !== text) where.textContent = text;
}

/** As many children as wanted: those that are there stay, so that the focus stays where it is. */
export function children<Kind extends HTMLElement>(parent: HTMLElement, count: number, make: () => Kind): Kind[] {
  while (parent.children.length > count) parent.lastElementChild!.remove();
  while (parent.children.length < count) parent.append(make());
  return [...parent.children] as Kind[];
}

/** Make a canvas as sharp as the screen. Returns its context, in which one unit is one CSS pixel, and its size. */
export function sharpCanvas(canvas: HTMLCanvasElement): {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
} {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  return { context, width, height };
}
