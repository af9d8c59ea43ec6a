// Imports go down only, as CONTRIBUTING says of the page. Oracle: the import lines of web/src.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { expect, test } from "vitest";

const SOURCE = path.join(import.meta.dirname, "../../src");

/** From the top down. Folders and files on one line do not import one another. */
const LAYERS = [
  ["main"],
  ["app"],
  ["package"],
  ["view"],
  ["teach"],
  ["predictions"],
  ["sources", "faces"],
  ["model"],
  ["preprocess", "errors", "queue"],
  ["page_error"],
  ["locales"],
  ["heads"],
];

/** Modules that each module imports, types too, by path without suffix. */
const imports = new Map(
  readdirSync(SOURCE, { encoding: "utf8", recursive: true }).filter((file) => /(?<!\.d)\.ts$/.test(file)).map((file) => {
    const named = readFileSync(path.join(SOURCE, file), "utf8").matchAll(/(?:from |import\()"(\.[^"?]+)"/g);
    const inside = [...named].map(([, to]) => path.join(path.dirname(file), to!)).filter((to) => !/^\.\.|\.json$/.test(to));
    return [file.replace(/\.ts$/, ""), inside];
  }),
);

const layerOf = (module: string) => LAYERS.findIndex((names) => names.includes(module.split("/")[0]!));

test("no module imports from a higher layer, nor from another folder of its own", () => {
  expect(imports.size).toBeGreaterThan(40);
  expect([...imports.keys()].filter((module) => layerOf(module) < 0)).toEqual([]);
  const wrong = [...imports].flatMap(([from, all]) => all.filter((to) => {
    return from.split("/")[0] !== to.split("/")[0] && layerOf(to) <= layerOf(from);
  }).map((to) => `${from} -> ${to}`));
  expect(wrong).toEqual([]);
});

test("no modules import one another in a circle", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (module: string, trail: string[]): void => {
    if (trail.includes(module)) circles.push([...trail.slice(trail.indexOf(module)), module].join(" -> "));
    if (trail.includes(module) || done.has(module)) return;
    for (const to of imports.get(module) ?? []) visit(to, [...trail, module]);
    done.add(module);
  };
  for (const module of imports.keys()) visit(module, []);
  expect(circles).toEqual([]);
});
