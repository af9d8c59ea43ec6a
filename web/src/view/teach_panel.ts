/** Shows the classes to teach with their faces, and the result. */

import { currentLanguage, expression, list, percent, translate } from "../locales/translate";
import type { Taught, TaughtClass, TaughtFace } from "../teach/teach";
import { colourOf } from "./colours";
import { copiesOf, element, make, resizeChildren, setText } from "./elements";

interface Actions {
  addImages: (into: TaughtClass, files: File[]) => void;
  addShown: (into: TaughtClass) => void;
  remove: (one: TaughtClass) => void;
  removeFace: (of: TaughtClass, face: TaughtFace) => void;
}

interface State {
  /** The class to which frames of a camera or video are added. */
  recorded: TaughtClass | undefined;
  /** 0..1 during training. */
  progress: number | null;
  /** Whether there is a face to add, and whether there are classes to learn. */
  canAdd: boolean;
  canTeach: boolean;
}

/** Show the classes. A button that has nothing to do is disabled, and its title says why. */
export function showTeachClasses(classes: TaughtClass[], { recorded, progress, canAdd, canTeach }: State, actions: Actions): void {
  const isBusy = progress !== null;
  const rows = resizeChildren(element("teach-classes"), classes.length, copiesOf("teach-class"));
  rows.forEach((row, index) => {
    const one = classes[index]!;
    const [name, count, images, shown, remove, faces, files] = [...row.children] as [HTMLInputElement, HTMLElement, ...HTMLButtonElement[]];
    row.style.setProperty("--colour", colourOf(one.name, index));
    if (name.value !== one.name && document.activeElement !== name) name.value = one.name;
    name.setAttribute("aria-label", translate("teach_name", { number: index + 1 }));
    name.oninput = () => (one.name = name.value);
    setText(count, translate("teach_faces", { count: one.faces.length }));
    setText(images!, translate("choose_images"));
    const chooser = files as unknown as HTMLInputElement;
    images!.onclick = () => chooser.click();
    chooser.onchange = () => {
      actions.addImages(one, [...(chooser.files ?? [])]);
      chooser.value = "";
    };
    shown!.setAttribute("aria-pressed", String(recorded === one));
    setText(shown!, translate(recorded === one ? "teach_recording" : "teach_shown"));
    shown!.onclick = () => actions.addShown(one);
    remove!.setAttribute("aria-label", translate("teach_remove", { name: one.name }));
    remove!.hidden = classes.length < 3;
    remove!.onclick = () => actions.remove(one);
    showFaces(faces!, one.faces, (face) => actions.removeFace(one, face));
    images!.disabled = remove!.disabled = isBusy;
    shown!.disabled = isBusy || !canAdd;
    shown!.title = canAdd ? "" : translate("teach_nothing_shown");
  });
  element<HTMLButtonElement>("teach-add").disabled = isBusy;
  // A button that is disabled loses the focus.
  element("teach-train").setAttribute("aria-disabled", String(isBusy || !canTeach));
  element("teach-train").title = canTeach ? "" : translate("error.teach-few-classes");
  element("teach-progress").hidden = !isBusy;
  element<HTMLProgressElement>("teach-progress").value = progress ?? 0;
}

/** The result, cell and language that the table shows. */
let shownState: unknown[] = [];

/** Show the result; `cell` is the true and the predicted class whose faces are shown. */
export function showTaught(taught: Taught | null, cell: [number, number] | null, choose: (cell: [number, number]) => void): void {
  element("teach-result").hidden = !taught;
  if (!taught) return setText(element("teach-accuracy"), "");
  const { accuracy, cells, single, from } = taught;
  const names = taught.classes.map(({ name }) => expression(name));
  const measured = accuracy
    ? translate("teach_accuracy", { accuracy: percent(accuracy.value, 1), count: accuracy.faces, low: percent(accuracy.low, 1), high: percent(accuracy.high, 1) })
    : translate("teach_unmeasured", { names: list(single.map(expression)) });
  Object.assign(element("teach-accuracy").dataset, { accuracy: accuracy?.value ?? "", faces: accuracy?.faces ?? "", from: from ?? "" });
  setText(element("teach-accuracy"), from ? `${measured} ${translate("teach_further", { name: from })}` : measured);
  const state = [taught, cell, currentLanguage()];
  if (state.every((value, at) => value === shownState[at])) return;
  shownState = state;
  element("teach-cells").hidden = element("teach-cells-note").hidden = !cells;
  const shown = cell && cells?.[cell[0]]?.[cell[1]];
  element("teach-cell").textContent = shown ? translate("teach_cell", { count: shown.length, name: names[cell[0]]!, answer: names[cell[1]]! }) : "";
  showFaces(element("teach-cell-faces"), shown || []);
  if (!cells) return;
  const table = element<HTMLTableElement>("teach-cells");
  const rows = [makeRow("", names), ...cells.map((row, label) => makeRow(names[label]!, row.map((faces, answer) => {
    return make("button", {
      type: "button",
      className: label === answer ? "right" : "",
      ariaLabel: translate("teach_cell", { count: faces.length, name: names[label]!, answer: names[answer]! }),
      ariaPressed: String(cell?.[0] === label && cell[1] === answer),
      disabled: !faces.length,
      onclick: () => choose([label, answer]),
    }, String(faces.length));
  })))];
  const focused = [...table.querySelectorAll("button")].indexOf(document.activeElement as HTMLButtonElement);
  table.replaceChildren(...rows);
  table.querySelectorAll("button")[focused]?.focus();
}

function makeRow(head: string, cells: (string | HTMLElement)[]): HTMLTableRowElement {
  const first = head ? make("th", { scope: "row" }, head) : make("td");
  return make("tr", {}, first, ...cells.map((cell) => (head ? make("td", {}, cell) : make("th", { scope: "col" }, cell))));
}

/** Show face crops side by side, as buttons if they can be removed. */
function showFaces(into: HTMLElement, faces: TaughtFace[], remove?: (face: TaughtFace) => void): void {
  const items = resizeChildren(into, faces.length, () => {
    const canvas = make("canvas");
    return make("li", {}, remove ? make("button", { type: "button" }, canvas) : canvas);
  });
  items.forEach((item, at) => {
    const face = faces[at]!;
    drawFace(item.querySelector("canvas")!, face);
    const button = item.querySelector("button");
    if (!button) return;
    button.title = translate("teach_remove_face");
    button.onclick = () => {
      remove!(face);
      // The removed button had the focus.
      if (!button.isConnected) (into.lastElementChild ?? into.parentElement!).querySelector("button")!.focus();
    };
  });
}

const drawn = new WeakMap<HTMLCanvasElement, TaughtFace>();

function drawFace(canvas: HTMLCanvasElement, face: TaughtFace): void {
  if (drawn.get(canvas) === face) return;
  drawn.set(canvas, face);
  canvas.width = canvas.height = face.side;
  const image = new ImageData(face.side, face.side);
  face.crop.forEach((value, at) => image.data.set([value, value, value, 255], 4 * at));
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}
