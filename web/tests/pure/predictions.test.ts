// Oracle: sums by hand, and the label schemes of mien.base.labels, which test_labels.py checks.
import { describe, expect, test } from "vitest";

import { AGREEMENT, decide, softmax, TIE_MARGIN } from "../../src/heads/label";
import { TimeSteps } from "../../src/view/timeline";
import { type Manifest, offeredModel } from "../../src/model/manifest";
import { defaultOutput, derivedAffect, type Output, outputsOf, probabilitiesOf } from "../../src/heads/votes";
import { answerOf, predictionOf } from "../../src/predictions/prediction";
import { mergeProbabilities, schemesFor } from "../../src/predictions/label_schemes";
import { asCsv, type SavedPrediction } from "../../src/predictions/saved_files";
import { Predictor } from "../../src/predictions/predictor";
import { Tracker } from "../../src/predictions/tracker";
import type { DecodedImage } from "../../src/preprocess/image";
import { settingsOf } from "../../src/view/settings";
import vectors from "../heads.json";

const PROBABILITIES = [0.1, 0.2, 0.05, 0.3, 0.15, 0.1, 0.1];
/** FER2013's classes, as of a model with one output. */
const CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
/** The whole image as one face. */
const CROP = { box: null, score: null };
const LABEL: Output = { name: "", logits: "logits", classes: CLASSES, given: CLASSES, temperature: 1, target: "label", byVotes: false, unsureBelow: AGREEMENT, margin: TIE_MARGIN, accuracy: null };
const [ALL, FIVE, BINARY] = schemesFor(LABEL);

describe("label schemes", () => {
  test.each([
    ["all: seven classes keep their probabilities", ALL!, PROBABILITIES, [0.1, 0.2, 0.05, 0.3, 0.15, 0.1, 0.1]],
    ["five: without disgust and neutral, rescaled to sum 1", FIVE!, PROBABILITIES, [0.1, 0.05, 0.3, 0.15, 0.1].map((share) => share / 0.7)],
    ["two: negative (angry, fear, sad) and positive (happy, surprise)", BINARY!, PROBABILITIES, [0.3 / 0.7, 0.4 / 0.7]],
    ["if all probability was in dropped classes, the rest is uniform", BINARY!, [0, 1, 0, 0, 0, 0, 0], [0.5, 0.5]],
  ])("%s", (_, scheme, probabilities, expected) => {
    const merged = mergeProbabilities(probabilities, CLASSES, scheme);
    expect(Object.keys(merged)).toEqual(Object.keys(scheme.groups));
    expect(Object.values(merged)).toEqual(expected.map((share) => expect.closeTo(share, 12)));
  });

  test("a model with other classes has no merging scheme", () => {
    expect(schemesFor({ classes: ["awake", "asleep"], byVotes: false }).map(({ name }) => name)).toEqual(["all"]);
    expect(schemesFor({ classes: ["negative", "positive"], byVotes: false }).map(({ name }) => name)).toEqual(["all"]);
  });
});

describe("prediction", () => {
  const box = { left: 1, top: 2, width: 3, height: 4 };

  test("has the keys of Prediction.to_dict(), in its order", () => {
    const prediction = predictionOf("a.png", { box, score: 0.875, probabilities: { "": PROBABILITIES } }, LABEL, ALL!);
    expect(Object.keys(prediction)).toEqual(["source", "box", "detection_score", "answer", "top", "confidence", "in_doubt", "alternatives", "probabilities"]);
    expect(prediction).toMatchObject({ source: "a.png", box, detection_score: 0.875, top: "happy", confidence: 0.3 });
    const whole = predictionOf("a.png", { ...CROP, probabilities: { "": PROBABILITIES } }, LABEL, ALL!);
    expect(Object.keys(whole)).toEqual(["source", "answer", "top", "confidence", "in_doubt", "alternatives", "probabilities"]);
  });

  test("is unsure below the chosen confidence", () => {
    const prediction = predictionOf("a.png", { ...CROP, probabilities: { "": PROBABILITIES } }, LABEL, ALL!);
    expect(answerOf(prediction, 0.3)).toEqual({ kind: "expression", name: "happy", probability: 0.3, alternatives: ["disgust"] });
    expect(answerOf(prediction, 0.31).kind).toBe("unsure");
  });
});

test("is unsure among four expressions, and names three", () => {
  const answer = (...probabilities: number[]) => {
    const prediction = predictionOf("a.png", { ...CROP, probabilities: { "": probabilities } }, LABEL, ALL!);
    return answerOf(prediction, 0);
  };
  expect(answer(0.3, 0.25, 0.25, 0.2, 0, 0, 0)).toMatchObject({ kind: "unsure", name: "angry", alternatives: [] });
  expect(answer(0.4, 0.31, 0.29, 0, 0, 0, 0)).toMatchObject({ kind: "expression", alternatives: ["disgust"] });
  expect(answer(0.35, 0.34, 0.31, 0, 0, 0, 0)).toMatchObject({ kind: "expression", alternatives: ["disgust", "fear"] });
});

describe("what people would say", () => {
  const classes = ["happy", "contempt", "unknown", "not-a-face"];
  const output: Output = { ...LABEL, name: "perceived", logits: "logits_perceived", classes, target: "votes", byVotes: true };
  const predict = (...row: number[]) => predictionOf("a.png", { ...CROP, probabilities: { perceived: row } }, output, schemesFor(output)[0]!);

  test.each([
    [[0.5, 0.3, 0.1, 0.1], "expression", "happy", 0.5],
    [[0.5, 0.41, 0.05, 0.04], "expression", "happy", 0.5, "contempt"],
    [[0.49, 0.3, 0.11, 0.1], "unsure", "happy", 0.49],
    [[0.2, 0.3, 0.1, 0.4], "not-a-face", "not-a-face", 0.4],
    // People who cannot tell make a face unsure.
    [[0.1, 0.3, 0.6, 0], "unsure", "contempt", 0.3],
  ] as const)("%j is %s", (row, kind, name, probability, ...alternatives) => {
    expect(answerOf(predict(...row), AGREEMENT)).toEqual({ kind, name, probability, alternatives });
  });

  test("the file has Python's fields, whatever limit the page shows", () => {
    const unsure = predict(0.49, 0.3, 0.11, 0.1);
    expect(unsure).toMatchObject({ output: "perceived", answer: "unsure", top: "happy", confidence: 0.49, unsure: true, not_a_face: false });
    expect(answerOf(unsure, 0.4).kind).toBe("expression");
    expect(predict(0.2, 0.3, 0.1, 0.4)).toMatchObject({ answer: "not-a-face", top: "not-a-face", unsure: false, not_a_face: true });
  });

  test("a blurred face is unsure at any limit, and saved with Python's fields", () => {
    const happy = { ...CROP, probabilities: { "": PROBABILITIES, perceived: [0.9, 0.04, 0.03, 0.03] } };
    const [sharp, blurred] = [false, true].map((isBlurred) => predictionOf("a.png", { ...happy, blurred: isBlurred }, output, schemesFor(output)[0]!));
    expect(sharp).toMatchObject({ answer: "happy", in_doubt: false, unsure: false });
    expect(blurred).toMatchObject({ answer: "unsure", in_doubt: true, unsure: true, top: "happy" });
    expect(answerOf(sharp!, 0).kind).toBe("expression");
    expect(answerOf({ ...blurred!, source: "b.png" }, 0).kind).toBe("unsure");
    expect(Object.keys(JSON.parse(JSON.stringify(blurred)))).toEqual(Object.keys(sharp!));
    expect(predictionOf("a.png", { ...happy, blurred: true }, LABEL, ALL!)).toMatchObject({ answer: "happy", in_doubt: true });
  });

  test("each output of a face has its own classes and fields", () => {
    const label: Output = { ...LABEL, name: "fer2013" };
    const all = { fer2013: PROBABILITIES, perceived: [0.2, 0.3, 0.1, 0.4] };
    const keys = (chosen: Output) => Object.keys(predictionOf("a.png", { ...CROP, probabilities: all }, chosen, schemesFor(chosen)[0]!));
    expect(keys(label)).toEqual(["source", "output", "answer", "top", "confidence", "in_doubt", "alternatives", "probabilities"]);
    expect(keys(output)).toEqual(["source", "output", "answer", "top", "confidence", "in_doubt", "alternatives", "unsure", "not_a_face", "derived_valence", "derived_arousal", "probabilities"]);
    const merged = predictionOf("a.png", { ...CROP, probabilities: all }, label, schemesFor(label)[2]!);
    expect(merged).toMatchObject({ output: "fer2013", answer: "positive", top: "positive" });
    expect(merged.confidence).toBeCloseTo(0.4 / 0.7, 12);
    expect(predictionOf("a.png", { ...CROP, probabilities: all }, output, schemesFor(output)[0]!).top).toBe("not-a-face");
  });

  test("the page is unsure below one half of the people, and never by the label", () => {
    expect(settingsOf(output).minConfidence).toBe(0.5);
    expect(settingsOf({ ...LABEL, name: "fer2013" }).minConfidence).toBe(0);
  });

  test("classes are not merged: the rest would be no share of people", () => {
    expect(schemesFor({ classes: [...CLASSES, "contempt"], byVotes: true }).map(({ name }) => name)).toEqual(["all"]);
  });
});

describe("outputs of a model", () => {
  const manifest = { classes: ["a", "b"], temperature: 2, scores: {} } as unknown as Manifest;
  const fer2013 = { classes: ["a", "b"], temperature: 1, target: "label" };
  const perceived = { classes: ["c", "d"], temperature: 3, target: "votes" };

  test("without names there is one, and it answers", () => {
    const outputs = outputsOf({ ...manifest, outputs: {} });
    expect(outputs).toEqual([{ ...LABEL, classes: ["a", "b"], given: ["a", "b"], temperature: 2 }]);
    expect(outputsOf(manifest)).toEqual(outputs);
    expect(defaultOutput(outputs)).toBe(outputs[0]);
  });

  test("the first has the model's temperature, and people's votes answer first", () => {
    const outputs = outputsOf({ ...manifest, outputs: { fer2013, perceived } });
    expect(outputs.map(({ logits, temperature }) => [logits, temperature])).toEqual([["logits", 2], ["logits_perceived", 3]]);
    expect(defaultOutput(outputs).name).toBe("perceived");
  });

  test("a majority is of people's votes, too", () => {
    const [crowd, drawn] = [{ ...perceived, target: "majority" }, { ...perceived, target: "sampled" }];
    const outputs = outputsOf({ ...manifest, outputs: { fer2013, crowd } });
    expect(outputs.map(({ byVotes }) => byVotes)).toEqual([false, true]);
    expect(defaultOutput(outputs).name).toBe("crowd");
    expect(defaultOutput(outputsOf({ ...manifest, outputs: { fer2013, crowd, perceived } })).name).toBe("perceived");
    expect(defaultOutput(outputsOf({ ...manifest, outputs: { fer2013, crowd, drawn } })).name).toBe("drawn");
  });

  test("each has its own accuracy, or none", () => {
    const both = { ...manifest, outputs: { fer2013, perceived }, scores: { validation_accuracy: 0.7 } };
    expect(outputsOf(both).map(({ accuracy }) => accuracy)).toEqual([0.7, null]);
    expect(outputsOf({ ...both, outputs: {} })[0]!.accuracy).toBe(0.7);
  });
});

test.each([
  ["no recipe", undefined, 0.5],
  ["mirrored faces", { augment: { flip: true } }, 0.5],
  ["no mirrored faces", { augment: { flip: false } }, 1],
  ["own augmentation", { augment: { flip: true, file: "augment.py" } }, 1],
  ["a fitted head", { augment: { flip: false }, tuning: { fit_head: true } }, 0.5],
])("a face is averaged with its mirror image if training saw mirrored faces: %s", async (_, recipe, expected) => {
  // The left half of the face is white. The model answers with its first pixel.
  const data = Uint8ClampedArray.from({ length: 8 * 8 * 4 }, (_, at) => ((at / 4) % 8 < 4 ? 255 : 0));
  const image = { width: 8, height: 8, pixels: { width: 8, height: 8, data } } as unknown as DecodedImage;
  const probabilities = async (crops: Uint8Array[]) => crops.map((crop) => ({ "": [crop[0]! / 255] }));
  const classifier = { manifest: { input: { size_px: 8 }, recipe }, probabilities };
  const predictor = Reflect.construct(Predictor, [classifier, {}]) as Predictor;
  expect((await predictor.predictBox(image, { left: 0, top: 0, width: 8, height: 8 })).probabilities).toEqual({ "": [expected] });
});

test("a slow device is offered the fast model, where there is one", () => {
  const both = ["default", "fast"];
  expect(offeredModel(both, { hardwareConcurrency: 2 })).toBe(1);
  expect(offeredModel(["mine", "best-int8", "fast-int8"], { hardwareConcurrency: 8, deviceMemory: 2 })).toBe(2);
  expect(offeredModel(both, { hardwareConcurrency: 4, deviceMemory: 8 })).toBe(-1);
  expect(offeredModel(["fast", "fast-int8"], { hardwareConcurrency: 1 })).toBe(-1);
  expect(offeredModel(["default"], { hardwareConcurrency: 1 })).toBe(-1);
});

describe("tracker", () => {
  const at = (left: number, probability = 1) => ({
    box: { left, top: 0, width: 10, height: 10 },
    score: 0.9,
    crop: new Uint8Array(),
    probabilities: { fer2013: [probability, 1 - probability] },
  });
  const numbers = (tracks: { number: number }[]) => tracks.map(({ number }) => number);

  /** Frames of a video: their times, where faces are, their numbers, and the numbers that are shown then. */
  test.each<[string, ...[number, number[], number[], number[]?][]]>([
    ["a face that moves a little keeps its number, in any order",
      [0, [0, 100], [1, 2]], [0.1, [102, 2], [2, 1]], [0.2, [50], [3]], [0.3, [2], [1]]],
    ["a missed face is shown for 0.25 s more, and adds no prediction",
      [0, [0, 100], [1, 2]], [0.2, [100], [2], [2, 1]], [0.3, [100], [2], [2]]],
    // The third is too far from the first to have its number, and over a quarter of its box. That is not shown either
    // when the third is missed in turn. The fourth only touches the second, and hides nothing.
    ["a missed face is not shown where another one is now",
      [0, [0, 100], [1, 2]], [0.1, [7.5], [3], [3, 2]], [0.2, [92], [4], [4, 3, 2]]],
    // However long ago a face was seen, it counts from the first frame without it.
    ["a face that was missed for more than 1 s gets a new number",
      [0, [0], [1]], [3, [0], [1]], [3.1, [], []], [4.1, [], []], [4.1, [0], [1]], [4.2, [], []], [5.3, [], []], [5.4, [0], [2]]],
  ])("%s", (_, ...frames) => {
    const tracker = new Tracker();
    for (const [seconds, places, expected, shown] of frames) {
      expect(numbers(tracker.update(places.map((left) => at(left)), seconds))).toEqual(expected);
      if (shown) expect(numbers(tracker.shown(seconds))).toEqual(shown);
    }
  });

  test("after 0.2 s half of the smoothed probabilities is new, at any frame rate", () => {
    for (const frames of [1, 2, 8]) {
      const tracker = new Tracker();
      tracker.update([at(0, 1)], 0);
      for (let frame = 1; frame < frames; frame += 1) tracker.update([at(0, 0)], (0.2 * frame) / frames);
      const [track] = tracker.update([at(0, 0)], 0.2);
      for (const probability of track!.probabilities["fer2013"]!) expect(probability).toBeCloseTo(0.5, 12);
    }
  });

  test("each output is smoothed on its own", () => {
    const both = (fer2013: number[], perceived: number[]) => ({ ...at(0), probabilities: { fer2013, perceived } });
    const tracker = new Tracker();
    tracker.update([both([1, 0], [0, 1, 0])], 0);
    const [track] = tracker.update([both([0, 1], [0, 0, 1])], 0.2);
    const means = Object.entries(track!.probabilities).map(([name, row]) => [name, row.map((each) => +each.toFixed(12))]);
    expect(means).toEqual([["fer2013", [0.5, 0.5]], ["perceived", [0, 0.5, 0.5]]]);
  });

  test("at three frames a second, two faces that move by most of their side keep their numbers", () => {
    const tracker = new Tracker();
    for (let frame = 0; frame < 17; frame += 1) {
      // Boxes of 10 that move by 8: they overlap too little with those before.
      const seen = [at(8 * frame), at(8 * frame + 20)];
      const tracks = tracker.update(frame % 2 ? seen.reverse() : seen, frame / 3);
      expect(numbers(tracks)).toEqual(frame % 2 ? [2, 1] : [1, 2]);
    }
  });

  test("a face of another size at the same place has a number of its own", () => {
    const tracker = new Tracker();
    tracker.update([at(0)], 0);
    const box = { left: -5, top: -5, width: 20, height: 20 };
    expect(numbers(tracker.update([{ ...at(0), box }], 0.1))).toEqual([2]);
  });
});

describe("history", () => {
  test("steps keep the mean of their moments; earlier moments are left out", () => {
    const steps = new TimeSteps(0, 10, 4);
    for (const [seconds, happy] of [[-1, 1], [0, 1], [4.8, 0.5], [4.9, 0.75], [10, 1]] as const) {
      steps.add(seconds, { happy, sad: 1 - happy });
    }
    expect(steps.means()).toEqual([
      { step: 0, probabilities: { happy: 1, sad: 0 } },
      { step: 1, probabilities: { happy: 0.625, sad: 0.375 } },
      { step: 3, probabilities: { happy: 1, sad: 0 } },
    ]);
  });

  test("the most frequent class is the one that was the likeliest most often", () => {
    const steps = new TimeSteps(0, 10, 4);
    expect(steps.mostFrequent()).toBeNull();
    for (const happy of [0.9, 0.2, 0.4]) steps.add(1, { happy, sad: 1 - happy });
    expect(steps.mostFrequent()).toBe("sad");
  });
});

// Columns and cells are those of mien.inference.output_files.
const saved: SavedPrediction = {
  source: 'a, "b".png', box: { left: -2, top: 3, width: 40, height: 50 }, detection_score: 0.875, answer: "sad", top: "sad", confidence: 0.5,
  in_doubt: true, alternatives: ["fear", "angry"], probabilities: { sad: 0.5, fear: 0.3, angry: 0.2 },
};

test("a table has a row for each face, and one with face 0 for an image without one", () => {
  expect(asCsv([{ source: "empty.png", face: 0 }, { face: 1, ...saved }])).toBe(
    [
      "source,face,box_left,box_top,box_width,box_height,detection_score,answer,top,confidence,in_doubt,alternatives,sad,fear,angry",
      "empty.png,0,,,,,,,,,,,,,",
      '"a, ""b"".png",1,-2,3,40,50,0.875000,sad,sad,0.500000,true,fear;angry,0.500000,0.300000,0.200000',
      "",
    ].join("\n"),
  );
  expect(asCsv([{ time_seconds: 0.04, track: 2, ...saved }]).split(",").slice(0, 3)).toEqual(["source", "time_seconds", "track"]);
});

describe("a rule for an answer, as in Python", () => {
  const { classes, rule: answer, shares, shown, affect } = vectors;
  const outputs = {
    fer2013: { classes: ["a", "b"], temperature: 1, target: "label" },
    perceived: { classes, temperature: 1, target: "votes" },
    affect: { classes: ["valence", "arousal"], temperature: 1, target: "affect" },
  };
  const all = outputsOf({ classes: ["a", "b"], temperature: 1, scores: {}, outputs, answer } as unknown as Manifest);
  const shownBy = (output: Output) => probabilitiesOf(output, Float32Array.from(shares, Math.log))[0]!;

  test("makes it of shares of people", () => {
    const [first, ...others] = all;
    expect(defaultOutput(all).name).toBe("answer");
    expect(first).toMatchObject({ unsureBelow: 0.4, margin: 0.15, classes: classes.filter((name) => name !== "unknown") });
    expect(shownBy(first!)).toEqual(shown.map((value) => expect.closeTo(value, 4)));
    expect(others.map(({ name }) => name)).toEqual(["fer2013", "perceived"]);
    expect(shownBy(others[1]!)[0]).toBeCloseTo(0.36, 6);
  });

  test("leaves valence and arousal those of the shares", () => {
    for (const output of all.filter(({ byVotes }) => byVotes)) {
      expect(derivedAffect(shownBy(output), output)).toEqual(affect.map((value) => expect.closeTo(value, 4)));
    }
  });
});

test.each(vectors.decisions)("$probabilities is $top", ({ probabilities, top, likely, tied }) => {
  const row = Object.fromEntries(vectors.classes.map((name) => [name, (probabilities as Record<string, number>)[name] ?? 0]));
  expect(decide(row)).toMatchObject({ top, likely, tied });
});

test("softmax divides by the temperature first, and handles large logits", () => {
  const [first, second] = softmax(Float32Array.from([2, 0, 1000, 0]), 2, 2);
  expect(first![0]).toBeCloseTo(Math.E / (Math.E + 1), 12);
  expect(second![0]).toBe(1);
});
