// Oracle: the strings files against each other and against the code; times by hand.
import { readFileSync } from "node:fs";
import path from "node:path";

import { describe, expect, test } from "vitest";

import { occlusion } from "../../src/model/occlusion";
import { clock } from "../../src/view/timeline";
import german from "../../src/words/de.json";
import english from "../../src/words/en.json";
import { currentLanguage, expression, percent, setLanguage, word } from "../../src/words/words";

describe("words", () => {
  test("both languages say the same things", () => {
    expect(Object.keys(german)).toEqual(Object.keys(english));
    const gaps = (sentence: string) => [...sentence.matchAll(/\{\w+\}/g)].map(String).sort();
    for (const [key, sentence] of Object.entries(english)) {
      expect(gaps(german[key as keyof typeof german]), key).toEqual(gaps(sentence));
    }
  });

  test("every word that index.html asks for is there", () => {
    const html = readFileSync(path.join(import.meta.dirname, "../../index.html"), "utf8");
    const asked = [...html.matchAll(/data-(?:word|label)="(\w+)"/g)].map(([, key]) => key);
    expect(asked.length).toBeGreaterThan(20);
    for (const key of asked) expect(Object.keys(english)).toContain(key);
  });

  test("gaps are filled, numbers follow the language", () => {
    setLanguage("de");
    expect(currentLanguage()).toBe("de");
    expect(word("face_is", { number: 2, answer: "x" })).toBe("Gesicht 2: x");
    expect(percent(0.5)).toBe("50\u00a0%");
    setLanguage("en");
    expect(percent(0.5)).toBe("50%");
  });
});

test("a class of a model's own is called as the model calls it, be it the key of a word", () => {
  expect(expression("happy")).toBe("happy");
  setLanguage("de");
  expect(expression("happy")).toBe("fröhlich");
  for (const name of ["stop", "looking", "constructor", "bored"]) expect(expression(name)).toBe(name);
  setLanguage("en");
});

describe("timeline", () => {
  test("a clock", () => {
    expect([0, 59.9, 75, 3600].map(clock)).toEqual(["0:00", "0:59", "1:15", "60:00"]);
  });
});

test("occlusion finds the pixel that alone matters, as mien.explain.occlusion would", async () => {
  const square = new Uint8Array(12 * 12).fill(100);
  square[5 * 12 + 6] = 200;
  const predict = (squares: Uint8Array[]) => Promise.resolve(squares.map((each) => [each[5 * 12 + 6]! / 200]));
  const map = await occlusion(predict, square, 12, 12, ([share]) => share!);
  // A patch of 2 px in steps of 1: the pixel lies under four patches, all of which take 0.495 (fill is 101).
  expect(map[5 * 12 + 6]).toBeCloseTo(0.495, 6);
  expect(map[0]).toBe(0);
  expect(map[6 * 12 + 6]).toBeCloseTo(0.495 / 2, 6);
});
