// Oracle: what a user sees who chooses models or drops images faster than the page works.
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";

import type { App } from "../../src/app/app";
import { ImageSession } from "../../src/app/image_session";
import { bindModels } from "../../src/app/controls";
import type { Stage } from "../../src/app/stage";
import type { Classifier } from "../../src/model/classifier";
import { Gallery, type GalleryItem } from "../../src/predictions/gallery";
import { queue } from "../../src/queue";
import type { Page, Shown } from "../../src/view/page";

/** Elements of the page by id. A list has options, and its value is that of the chosen one. */
class FakeElement {
  options: { value: string }[] = [];
  selectedIndex = 0;
  hidden = false;
  parentElement = { hidden: false };
  onchange = () => {};
  get value() {
    return this.options[this.selectedIndex]!.value;
  }
  replaceChildren(...options: { value: string; selected: boolean }[]) {
    this.options = options;
    this.selectedIndex = options.findIndex(({ selected }) => selected);
  }
}

let elements: Map<string, FakeElement>;
const byId = (id: string) => elements.get(id) ?? elements.set(id, new FakeElement()).get(id)!;
beforeEach(() => {
  elements = new Map();
  vi.stubGlobal("document", { getElementById: byId });
  vi.stubGlobal("navigator", { hardwareConcurrency: 2 });
  vi.stubGlobal("location", { href: "https://example.org/" });
  vi.stubGlobal("Option", class {
    constructor(_: string, readonly value: string, __: boolean, readonly selected: boolean) {}
  });
});
afterAll(() => void vi.unstubAllGlobals());

describe("the list of models", () => {
  /** The bound list, and the names of the models that were opened. */
  function listOf(...names: string[]) {
    const opened: string[] = [];
    const inTurn = queue();
    const useModel: App["useModel"] = (name, _, isWanted = () => true) => inTurn(async () => isWanted() && opened.push(name) > 0);
    const app = { useModel } as unknown as App;
    bindModels(app, { messages: { clearProblems() {} } } as unknown as Page, names);
    const list = byId("models");
    const choose = (which: number) => {
      list.selectedIndex = which;
      list.onchange();
    };
    const drop = (name: string) => app.addModel(name, async () => ({}) as Classifier);
    return { opened, list, choose, drop, end: () => inTurn(async () => {}).then(() => new Promise((resolve) => setTimeout(resolve))) };
  }

  test("names the model in use, though it was chosen while another one loaded", async () => {
    const { opened, list, choose, drop, end } = listOf("default", "fast");
    void drop("a.onnx");
    choose(1);
    await end();
    expect([opened, list.value]).toEqual([["a.onnx", "fast"], "fast"]);
    expect(list.options.map(({ value }) => value)).toEqual(["default", "fast", "a.onnx"]);
    expect(byId("fast-offer").hidden, "it is in use").toBe(true);
  });

  test("opens no choice that was replaced before its turn, but every dropped file", async () => {
    const { opened, list, choose, drop, end } = listOf("default", "b", "c", "d");
    choose(1);
    await Promise.resolve();
    void drop("a.onnx");
    for (const which of [2, 3, 2]) choose(which);
    await end();
    expect([opened, list.value]).toEqual([["b", "a.onnx", "c"], "c"]);
  });
});

test("the second image is shown if another call removed the first", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const shown: string[] = [];
  const stage = { shown: { kind: "nothing" } as Shown, stop: () => 0, isCurrent: () => true, report() {}, summary: () => "" };
  const show = (now: Shown) => {
    stage.shown = now;
    if (now.kind === "image") shown.push(now.item.file.name);
  };
  const page = { messages: { show() {} }, showImages() {}, draw() {} } as unknown as Page;
  const session = new ImageSession(page, Object.assign(stage, { show }) as unknown as Stage, new Promise(() => {}));
  vi.spyOn(Gallery.prototype, "processToShow").mockImplementation(async ({ file }) => {
    if (file.name !== "good") throw new Error(file.name);
    return {} as never;
  });
  const [first, removed, good] = ["first", "removed", "good"].map((name) => new File([], name));
  vi.spyOn(Gallery.prototype, "process").mockImplementation(async (item) => void (item.predictions = {} as never) as never);
  const adding = session.add([first!, removed!, good!]);
  // As the loop of an earlier call does when it cannot process the image.
  (session.items as GalleryItem[]).splice(1, 1);
  await adding;
  expect(shown).toEqual(["good"]);
});
