// The npm package, packed and used by a page of its own. Oracle: what the page itself says of the same photo; the video's maker.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { beforeAll, expect } from "vitest";

import type { Face, TrackedFace } from "../../src/package/engine";
import { astronaut, BUILT, clip, dropAstronaut, folder, pageTest, ROOT, saved, Visit } from "./browser";

const WEB = path.join(ROOT, "web");
const SITE = path.join(folder, "app");

/** The app: the packed package and onnxruntime-web, found by an import map as a browser does it without a bundler. */
const APP = `<!doctype html><title>app</title><link rel="icon" href="data:,"><p>An app.</p><script type="importmap">{"imports": {
  "mien-web": "./package/dist/mien.js", "onnxruntime-web/wasm": "./ort/ort.wasm.bundle.min.mjs"
}}</script><script type="module">
import { draw, Mien } from "mien-web";
const blob = async (name) => (await fetch(name)).blob();
const fetched = async (name) => createImageBitmap(await blob(name));
window.predict = async (options) => {
  if (options.page) options.model = new URL(options.page, location.href);
  const mien = await Mien.load(options);
  const pictures = [await fetched("photo.png"), new OffscreenCanvas(8, 8)];
  return (await Promise.all(pictures.map((picture) => mien.predict(picture))))[0];
};
window.files = async () => {
  const mien = await Mien.load({ model: "fast" });
  const file = await blob("photo.png");
  const [[one], [other]] = [await mien.predict(new File([file], "a.png")), await mien.predict(await createImageBitmap(file))];
  return [one.box.left === other.box.left, await mien.predict(new Blob(["odd"])).catch(({ name, code }) => name + " " + code)];
};
window.drawn = async () => {
  const mien = await Mien.load({ model: "fast" });
  const asked = mien.predict(await fetched("photo.png"));
  await mien.dispose();
  const faces = await asked;
  await mien.dispose();
  const context = new OffscreenCanvas(512, 512).getContext("2d");
  draw(context, faces, { colours: { happy: "#ff0000" }, lineWidth: 4 });
  const { left, top } = faces[0].box;
  const isRed = ([r, g, b, a]) => r > 200 && g < 60 && b < 60 && a > 200;
  return [isRed(context.getImageData(left, top + 20, 1, 1).data), isRed(context.getImageData(left + 20, top + 20, 1, 1).data),
    await mien.predict(await fetched("photo.png")).then(() => "predicted", String)];
};
window.unread = async (picture = new Image()) => (await Mien.load({ model: "fast" })).predict(picture);
window.follow = async () => {
  const read = (await Mien.load({ model: "fast" })).follow({ isLive: false });
  const src = URL.createObjectURL(await (await fetch("clip.webm")).blob());
  const video = Object.assign(document.createElement("video"), { src, muted: true });
  document.body.append(video);
  const faces = [];
  for (const seconds of [0.1, 0.4, 0.8, 1.8, 2.2]) {
    await new Promise((done) => { video.onseeked = done; video.currentTime = seconds; });
    faces.push(await read(video, seconds));
  }
  return faces;
};
document.documentElement.dataset.ready = "yes";
</script>`;

/** Open the app, and return what calls one of its functions; an error is a text that begins with its code. */
async function openApp(visit: Visit): Promise<(name: string, given?: unknown) => Promise<unknown>> {
  const page = await visit.enter({}, undefined, "app.html");
  await page.waitForSelector("html[data-ready]");
  return (name, given) => page.evaluate(([name, given]) => {
    const app = globalThis as unknown as Record<string, (given: unknown) => Promise<unknown>>;
    return app[name]!(given).catch((error: { code?: string }) => `${error.code}: ${String(error)}`);
  }, [name, given] as const);
}

const test = pageTest({ folders: [SITE, BUILT] });
beforeAll(() => {
  const build = path.join(WEB, "build/package");
  execFileSync("npm", ["run", "--silent", "package"], { cwd: WEB, stdio: "pipe" });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: build, stdio: "pipe" });
  mkdirSync(path.join(SITE, "ort"), { recursive: true });
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  execFileSync("tar", ["-xzf", path.join(folder, archive), "-C", SITE]);
  for (const name of ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs"]) {
    copyFileSync(path.join(WEB, "node_modules/onnxruntime-web/dist", name), path.join(SITE, "ort", name));
  }
  copyFileSync(astronaut(), path.join(SITE, "photo.png"));
  writeFileSync(path.join(SITE, "clip.webm"), clip("two"));
  writeFileSync(path.join(SITE, "app.html"), APP);
}, 120_000);

test("a page of its own says what mien's page says, and its files are the package's", async ({ visit }) => {
  const ask = await openApp(visit);
  const [face, ...others] = (await ask("predict", { model: "fast" })) as Face[];
  expect(others).toEqual([]);
  const own = await visit.open();
  await dropAstronaut(own);
  // The page of this machine answers with the int8 form of the same network.
  const [shown] = (await saved(own)) as unknown as [Face];
  expect(Object.keys(face!)).toEqual(Object.keys(shown));
  expect(face).toMatchObject({ box: shown.box, landmarks: shown.landmarks, answer: shown.answer });
  for (const [name, value] of Object.entries(shown.probabilities)) expect(face!.probabilities[name]).toBeCloseTo(value, 2);
  // The usual model, and another output.
  const [usual] = (await ask("predict", { output: "fer2013" })) as [Face];
  expect(usual).toMatchObject({ output: "fer2013", top: "happy", box: face!.box });
  expect(await ask("files")).toEqual([true, "MienError image-unreadable"]);
  for (const [call, given, says] of [
    ["predict", { output: "mood" }, /^output-unknown: .*no output "mood"; it has "answer", "fer2013", "perceived"/],
    ["predict", { model: "/models/fast" }, /^model-unknown: .*"tiny" or a URL/],
    ["predict", { page: "app.html?" }, /^load-failed: .*app\.html: a page is there/],
    ["unread", undefined, /^image-size: .*no pixels yet/],
    ["unread", null, /^image-type: .*picture is null/],
    ["unread", "photo.png", /^image-type: .*picture is photo\.png/],
    ["unread", {}, /^image-type: .*createImageBitmap/],
  ] as const) {
    expect(await ask(call, given)).toMatch(says);
  }
}, 120_000);

test("faces can be drawn, and the networks freed", async ({ visit }) => {
  const ask = await openApp(visit);
  expect(await ask("drawn")).toEqual([true, false, expect.stringMatching(/freed/)]);
  const [face] = (await ask("predict", { model: "fast" })) as Face[];
  // Oracle: Python of scikit-image's astronaut.
  expect(Math.hypot(face!.landmarks["nose"]![0] - 220.4, face!.landmarks["nose"]![1] - 124.5)).toBeLessThan(3);
}, 120_000);

test("faces of a video keep their tracks", async ({ visit }) => {
  const frames = (await (await openApp(visit))("follow")) as TrackedFace[][];
  // The larger one, on the left, leaves at 1.2 s.
  expect(frames.map((faces) => faces.map(({ track }) => track))).toEqual([[1, 2], [1, 2], [1, 2], [2], [2]]);
  expect(frames.flat().filter(({ answer }) => answer !== "happy")).toEqual([]);
}, 120_000);

test.each(["Bundler", "NodeNext"])("a strict TypeScript project finds the types: %s", (resolution) => {
  const file = path.join(SITE, "use.ts");
  writeFileSync(file, 'import { Mien, type TrackedFace } from "mien-web";\nconst faces: TrackedFace[] = await (await Mien.load()).follow()(new OffscreenCanvas(1, 1), 0);\nfaces[0]!.box.left.toFixed();\n');
  const config = {
    compilerOptions: { strict: true, noEmit: true, module: resolution === "Bundler" ? "ESNext" : resolution, target: "ES2023", moduleResolution: resolution, skipLibCheck: false, lib: ["ES2023", "DOM"], types: [], paths: { "mien-web": ["./package/types/package/engine.d.ts"], "onnxruntime-web/wasm": [path.join(WEB, "node_modules/onnxruntime-web")] } },
    files: ["use.ts"],
  };
  writeFileSync(path.join(SITE, "tsconfig.json"), JSON.stringify(config));
  const check = () => execFileSync(process.execPath, [path.join(WEB, "node_modules/typescript/bin/tsc"), "-p", SITE], { encoding: "utf8", stdio: "pipe" });
  expect(check()).toBe("");
  writeFileSync(file, 'import { Mien } from "mien-web";\n(await Mien.load({ model: "slow" }));\n');
  expect(check).toThrow();
}, 60_000);
