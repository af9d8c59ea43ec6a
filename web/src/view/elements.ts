/** An element of index.html by its id. */
export function element<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}

/** Returns a function that copies the element in a template of index.html. */
export function copiesOf<Kind extends HTMLElement>(template: string): () => Kind {
  return () => element<HTMLTemplateElement>(template).content.firstElementChild!.cloneNode(true) as Kind;
}

/** Make an element with these properties and this content. */
export function make<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, given: object = {}, ...content: (Node | string)[]): HTMLElementTagNameMap[Tag] {
  const made = Object.assign(document.createElement(tag), given);
  made.append(...content);
  return made;
}

/** Set a text only if it changed, because screen readers repeat text that is written again. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** Add or remove children until there are `count`. Children that stay keep their state and focus. */
export function resizeChildren<Kind extends HTMLElement>(parent: HTMLElement, count: number, make: () => Kind): Kind[] {
  while (parent.children.length > count) parent.lastElementChild!.remove();
  while (parent.children.length < count) parent.append(make());
  return [...parent.children] as Kind[];
}

/** Give a canvas the screen's resolution. Returns its context, scaled to CSS pixels, and its size in them. */
export function sharpCanvas(canvas: HTMLCanvasElement) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  return { context, width, height };
}
