// Oracle: the locale files against each other and against index.html; times by hand.
import { readFileSync } from "node:fs";
import path from "node:path";

import { describe, expect, test } from "vitest";

import { occlusion } from "../../src/model/occlusion";
import { readingAt, ticks, TimeSteps } from "../../src/view/timeline";
import german from "../../src/locales/de.json";
import english from "../../src/locales/en.json";
import french from "../../src/locales/fr.json";
import { clock, currentLanguage, decimal, expression, percent, setLanguage, translate } from "../../src/locales/translate";

describe("locales", () => {
  test.each(Object.entries({ german, french }))("%s has the keys of English and the same values to fill in", (_, other) => {
    expect(Object.keys(other)).toEqual(Object.keys(english));
    const gaps = (sentence: string) => [...sentence.matchAll(/\{\w+\}/g)].map(String).sort();
    for (const [key, sentence] of Object.entries(english)) {
      expect(gaps(other[key as keyof typeof other]), key).toEqual(gaps(sentence));
    }
  });

  test("every key in index.html exists", () => {
    const html = readFileSync(path.join(import.meta.dirname, "../../index.html"), "utf8");
    const asked = [...html.matchAll(/data-(?:text|label)="(\w+)"/g)].map(([, key]) => key);
    expect(asked.length).toBeGreaterThan(20);
    for (const key of asked) expect(Object.keys(english)).toContain(key);
  });

  test("values are filled in, and numbers follow the language", () => {
    setLanguage("de");
    expect(currentLanguage()).toBe("de");
    expect(translate("face_answer", { number: 2, answer: "x" })).toBe("Gesicht 2: x");
    expect([0, 1, 1000].map((count) => translate("teach_faces", { count }))).toEqual(["0 Gesichter", "1 Gesicht", "1.000 Gesichter"]);
    setLanguage("fr");
    expect([0, 1, 2].map((count) => translate("teach_faces", { count }))).toEqual(["0 visage", "1 visage", "2 visages"]);
    expect(percent(0.5)).toBe("50\u00a0%");
    setLanguage("en");
    expect(percent(0.5)).toBe("50%");
    expect([-0.25, -0.004, 0].map(decimal)).toEqual(["-0.25", "0.00", "0.00"]);
    expect(percent(0.70186, 1)).toBe("70.2%");
  });

  test("only the whole is 100%, and only nothing is 0%", () => {
    expect([1, 0.9999, 0.995, 0.9949, 0.985].map((share) => percent(share))).toEqual(["100%", ">99%", ">99%", "99%", "99%"]);
    expect([0, 1e-9, 0.0049, 0.005, 0.014].map((share) => percent(share))).toEqual(["0%", "<1%", "<1%", "1%", "1%"]);
    expect([0.9999, 0.9994, 0.0001].map((share) => percent(share, 1))).toEqual([">99.9%", "99.9%", "<0.1%"]);
    setLanguage("de");
    expect(percent(0.997)).toBe(">99\u00a0%");
    setLanguage("en");
  });
});

test("a class that the page does not know keeps the model's name, even if a sentence has that key", () => {
  expect(expression("happy")).toBe("happy");
  setLanguage("de");
  expect(expression("happy")).toBe("fröhlich");
  for (const name of ["stop", "processing", "constructor", "bored"]) expect(expression(name)).toBe(name);
  setLanguage("en");
});

describe("timeline", () => {
  test("the reading is that of the step under the pointer, and nothing where the face was away", () => {
    const steps = new TimeSteps(0, 60, 60);
    steps.add(10.5, { happy: 0.75, sad: 0.25 });
    steps.add(30.5, { happy: 0, sad: 1 });
    expect(readingAt(steps, 10.5 / 60)).toEqual({ seconds: 10.5, decimals: 0, probabilities: { happy: 0.75, sad: 0.25 } });
    expect(readingAt(steps, 30.2 / 60)?.probabilities).toEqual({ happy: 0, sad: 1 });
    expect(readingAt(steps, 20 / 60)).toBeNull();
    expect(readingAt(steps, 1)).toBeNull();
  });

  test("clock times", () => {
    expect([0, 59.9, 75, 3600].map((seconds) => clock(seconds))).toEqual(["0:00", "0:59", "1:15", "60:00"]);
    expect([0.1 + 0.7, 59.99, 75].map((seconds) => clock(seconds, 1))).toEqual(["0:00.8", "0:59.9", "1:15.0"]);
  });

  test("the times of a short clip are told apart", () => {
    expect(ticks(0, 2)).toEqual(["0:00.0", "0:00.5", "0:01.0", "0:01.5", "0:02.0"]);
    expect(ticks(0, 0.5)).toEqual(["0:00.00", "0:00.12", "0:00.25", "0:00.37", "0:00.50"]);
    expect(ticks(12, 72)).toEqual(["0:12", "0:27", "0:42", "0:57", "1:12"]);
    setLanguage("de");
    expect(ticks(0, 2)[1]).toBe("0:00,5");
    setLanguage("en");
  });
});

test("occlusion finds the only pixel that matters, as mien.explanation.explainer does", async () => {
  const crop = new Uint8Array(12 * 12).fill(100);
  crop[5 * 12 + 6] = 200;
  const predict = (crops: Uint8Array[]) => Promise.resolve(crops.map((each) => [each[5 * 12 + 6]! / 200]));
  const map = await occlusion(predict, crop, 12, 12, ([probability]) => probability!);
  // A patch of 2 px in steps of 1 covers the pixel four times. Each time the probability falls by 0.495 (the fill is 101).
  expect(map[5 * 12 + 6]).toBeCloseTo(0.495, 6);
  expect(map[0]).toBe(0);
  expect(map[6 * 12 + 6]).toBeCloseTo(0.495 / 2, 6);
});
