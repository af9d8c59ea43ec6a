// Oracle: sums by hand; mien.labels' schemes, whose numbers test_labels.py holds.
import { describe, expect, test } from "vitest";

import { softmax } from "../../src/model/softmax";
import { History, Steps } from "../../src/readings/history";
import { named, readingOf } from "../../src/readings/reading";
import { merge, schemesFor } from "../../src/readings/schemes";
import { Tracks } from "../../src/readings/tracks";
import { vectors } from "../vectors";

const SHARES = [0.1, 0.2, 0.05, 0.3, 0.15, 0.1, 0.1];
const [ALL, FIVE, BINARY] = schemesFor(vectors.classes);

describe("schemes", () => {
  test("all seven stay as they are", () => {
    expect(Object.values(merge(SHARES, vectors.classes, ALL!))).toEqual(SHARES);
  });

  test("five leave out disgust and neutral and sum to 1", () => {
    const merged = merge(SHARES, vectors.classes, FIVE!);
    expect(Object.keys(merged)).toEqual(["angry", "fear", "happy", "sad", "surprise"]);
    expect(merged["happy"]).toBeCloseTo(0.3 / 0.7, 12);
  });

  test("two are negative (angry, fear, sad) and positive (happy, surprise)", () => {
    const merged = merge(SHARES, vectors.classes, BINARY!);
    expect(merged["negative"]).toBeCloseTo(0.3 / 0.7, 12);
    expect(merged["positive"]).toBeCloseTo(0.4 / 0.7, 12);
  });

  test("where nothing is left, all are alike", () => {
    expect(merge([0, 1, 0, 0, 0, 0, 0], vectors.classes, BINARY!)).toEqual({ negative: 0.5, positive: 0.5 });
  });

  test("a model of other classes has its own alone", () => {
    expect(schemesFor(["awake", "asleep"]).map(({ name }) => name)).toEqual(["all"]);
    expect(schemesFor(["negative", "positive"]).map(({ name }) => name)).toEqual(["all"]);
  });
});

describe("reading", () => {
  const box = { left: 1, top: 2, width: 3, height: 4 };

  test("has the keys of Reading.to_dict(), in its order", () => {
    const reading = readingOf("a.png", box, SHARES, vectors.classes, ALL!);
    expect(Object.keys(reading)).toEqual(["source", "box", "top", "confidence", "probabilities"]);
    expect(reading).toMatchObject({ source: "a.png", box, top: "happy", confidence: 0.3 });
    expect(Object.keys(readingOf("a.png", null, SHARES, vectors.classes, ALL!))).not.toContain("box");
  });

  test("is unsure below the chosen confidence", () => {
    const reading = readingOf("a.png", null, SHARES, vectors.classes, ALL!);
    expect(named(reading, 0.3)).toBe("happy");
    expect(named(reading, 0.31)).toBeNull();
  });
});

test("softmax divides by the temperature first, and bears large logits", () => {
  const [first, second] = softmax(Float32Array.from([2, 0, 1000, 0]), 2, 2);
  expect(first![0]).toBeCloseTo(Math.E / (Math.E + 1), 12);
  expect(second![0]).toBe(1);
});

describe("tracks", () => {
  const at = (left: number, share = 1) => ({
    box: { left, top: 0, width: 10, height: 10 },
    square: new Uint8Array(),
    shares: [share, 1 - share],
  });
  const numbers = (tracks: { number: number }[]) => tracks.map(({ number }) => number);

  test("a face keeps its number while it moves a little, whatever the order", () => {
    const tracks = new Tracks();
    expect(numbers(tracks.update([at(0), at(100)], 0))).toEqual([1, 2]);
    expect(numbers(tracks.update([at(102), at(2)], 0.1))).toEqual([2, 1]);
    expect(numbers(tracks.update([at(50)], 0.2))).toEqual([3]);
    expect(numbers(tracks.update([at(2)], 0.3))).toEqual([1]);
  });

  test("of an answer half is newer after a fifth of a second, in however many frames", () => {
    for (const frames of [1, 2, 8]) {
      const tracks = new Tracks();
      tracks.update([at(0, 1)], 0);
      for (let frame = 1; frame < frames; frame += 1) tracks.update([at(0, 0)], (0.2 * frame) / frames);
      const [track] = tracks.update([at(0, 0)], 0.2);
      for (const share of track!.shares) expect(share).toBeCloseTo(0.5, 12);
    }
  });

  test("a face that is missed is shown for half a second more, and is no new reading", () => {
    const tracks = new Tracks();
    tracks.update([at(0), at(100)], 0);
    expect(tracks.update([at(100)], 0.4)).toHaveLength(1);
    expect(numbers(tracks.shown(0.4))).toEqual([2, 1]);
    expect(numbers(tracks.shown(0.6))).toEqual([2]);
  });

  test("a face that was away for long, or in another part of the video, is another one", () => {
    const tracks = new Tracks();
    tracks.update([at(0)], 5);
    expect(numbers(tracks.update([at(0)], 6.5))).toEqual([2]);
    expect(numbers(tracks.update([at(0)], 1))).toEqual([3]);
  });
});

describe("history", () => {
  const shares = ({ seconds }: { seconds: number }) => ({ happy: (seconds % 7) / 7, sad: 1 - (seconds % 7) / 7 });
  const row = (seconds: number, number = 1) => ({ seconds, number });

  test("moments fall into steps, of which the mean is kept; those before the start are left out", () => {
    const steps = new Steps(0, 10, 4);
    for (const [seconds, happy] of [[-1, 1], [0, 1], [4.8, 0.5], [4.9, 0.75], [10, 1]] as const) {
      steps.add(seconds, { happy, sad: 1 - happy });
    }
    expect(steps.means()).toEqual([
      { step: 0, shares: { happy: 1, sad: 0 } },
      { step: 1, shares: { happy: 0.625, sad: 0.375 } },
      { step: 3, shares: { happy: 1, sad: 0 } },
    ]);
  });

  test("what is most often likeliest", () => {
    const steps = new Steps(0, 10, 4);
    expect(steps.mostOften()).toBeNull();
    for (const happy of [0.9, 0.2, 0.4]) steps.add(1, { happy, sad: 1 - happy });
    expect(steps.mostOften()).toBe("sad");
  });

  test("of a long video new rows alone are gone over, and all are counted", () => {
    const live = { rows: Array.from({ length: 20_000 }, (_, index) => row(index / 20, 1 + (index % 2))), dropped: 0 };
    const history = new History<{ seconds: number; number: number }>();
    let asked = 0;
    const count = (each: { seconds: number }) => {
      asked += 1;
      return shares(each);
    };
    const span: [number, number, number] = [0, 2000, 300];
    history.steps(live, 1, span, "all", count);
    expect(asked).toBe(10_000);
    // The oldest rows go, new ones come, some of them from before: the video was wound back.
    live.rows.splice(0, 5);
    live.dropped += 5;
    live.rows.push(row(1000), row(1001, 2), row(3));
    const steps = history.steps(live, 1, span, "all", count);
    expect(asked).toBe(10_002);
    const anew = new Steps(...span);
    for (let index = 0; index < 20_000; index += 2) anew.add(index / 20, shares(row(index / 20)));
    [1000, 3].forEach((seconds) => anew.add(seconds, shares(row(seconds))));
    steps.means().forEach(({ step, shares: mean }, place) => {
      expect(step).toBe(anew.means()[place]!.step);
      expect(mean["happy"]).toBeCloseTo(anew.means()[place]!.shares["happy"]!, 9);
    });
    expect(steps.mostOften()).toBe(anew.mostOften());
    history.steps(live, 2, span, "all", count);
    expect(asked).toBe(10_002 + live.rows.filter(({ number }) => number === 2).length);
    history.steps(live, 2, span, "five", count);
    expect(asked).toBe(10_002 + 2 * live.rows.filter(({ number }) => number === 2).length);
  });

  test("of a camera the last minute alone is gone over", () => {
    const live = { rows: Array.from({ length: 20_000 }, (_, index) => row(index / 20)), dropped: 0 };
    let asked = 0;
    new History().steps(live, 1, [940, 1000, 200], "all", (each) => {
      asked += 1;
      return shares(each);
    });
    expect(asked).toBe(60 * 20);
  });
});
