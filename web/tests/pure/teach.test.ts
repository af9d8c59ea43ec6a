// Oracles: Python's head on the same features and folds (make_teach_vectors.py), and files that Python wrote.
import { readFileSync } from "node:fs";
import path from "node:path";

import { expect, test, vi } from "vitest";

import { Classifier } from "../../src/model/classifier";
import { headIn, manifestIn, withHead } from "../../src/model/model_file";
import { dealGroups, type Lesson, logitsOf, teachHead } from "../../src/teach/head";
import { type Origin, teach, wilson } from "../../src/teach/teach";
import { nearCopies } from "../../src/teach/near_copies";
import vectors from "../teach.json";
import { vectors as imageVectors } from "../vectors";

vi.mock("../../src/model/runtime", () => ({ runtime: async () => ({ Tensor: class {} }) }));

const model = readFileSync(path.join(import.meta.dirname, "../votes/model.onnx"));

const unpacked = (text: string) => Float64Array.from(new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer));
const lesson: Lesson = {
  plain: unpacked(vectors.plain),
  mirrored: unpacked(vectors.mirrored),
  labels: vectors.labels,
  classes: vectors.classes.length,
  groups: vectors.labels.map((_, at) => String(at)),
};
const width = lesson.plain.length / lesson.labels.length;

test("the head is Python's, to 1e-5, with its penalty and its accuracy", async () => {
  const progress: number[] = [];
  const { head, penalty, answers, folds } = await teachHead(lesson, (done) => progress.push(done), undefined, vectors.folds);
  expect([penalty, folds]).toEqual([vectors.penalty, 5]);
  expect(answers!.filter((answer, at) => answer === vectors.labels[at]).length / vectors.labels.length).toBeCloseTo(vectors.accuracy, 12);
  vectors.logits.forEach((logits, face) => {
    const ours = logitsOf(head, lesson.plain.subarray(face * width, (face + 1) * width));
    logits.forEach((logit, at) => expect(Math.abs(ours[at]! - logit)).toBeLessThan(1e-5));
  });
  expect(progress).toEqual(progress.toSorted((one, other) => one - other));
  expect(progress.at(-1)).toBe(1);
});

test("a head that goes on from another stays near it where faces say nothing new, and is measured without it", async () => {
  const { head, answers } = await teachHead(lesson, () => {}, undefined, vectors.folds);
  const further = await teachHead(lesson, () => {}, head, vectors.folds);
  const logits = (of: typeof head) => logitsOf(of, lesson.plain.subarray(0, width));
  logits(further.head).forEach((logit, at) => expect(Math.abs(logit - logits(head)[at]!)).toBeLessThan(2));
  expect(further.head).not.toEqual(head);
  expect(further.answers).toEqual(answers);
});

test("a class of one recording is not cross-validated", async () => {
  const groups = vectors.labels.map((label, at) => (label ? String(at) : "recording"));
  expect(await teachHead({ ...lesson, groups }, () => {})).toMatchObject({ answers: null, folds: 0, penalty: 1 });
});

test("recordings that share a crop are one group, as is a crop that is given twice", async () => {
  const manifest = { name: "base", classes: ["a"], scores: {}, input: { size_px: 2, crop_px: 2, mean: 0, std: 1 } };
  const features = async (crops: Uint8Array[]) => crops.map(([first]) => Float32Array.of(first!, 1));
  const face = (value: number, recording?: string) => ({ crop: new Uint8Array(4).fill(value), side: 2, ...(recording && { recording }) });
  const classes = [
    { name: "once", faces: [face(1, "first"), face(2, "first"), face(2, "second"), face(3, "second"), face(3)] },
    { name: "twice", faces: [face(7, "third"), face(8, "fourth"), face(8)] },
  ];
  const taught = await teach(classes, { manifest, features, file: model } as unknown as Origin["classifier"], null, () => {});
  expect(taught).toMatchObject({ single: ["once"], accuracy: null });
});

test("near-copies are Python's: mirrored, shifted, cropped, lighter", () => {
  const { crops, pairs, near } = imageVectors.copies;
  const areNear = nearCopies(crops.map((crop) => new Uint8Array(Buffer.from(crop, "base64"))), 48);
  expect(pairs.map(([one, other]) => areNear(one, other))).toEqual(near);
  expect(near.filter(Boolean)).toHaveLength(12);
});

test.each([
  ["input", { input: undefined }],
  ["classes", { classes: [] }],
  ["answers", { outputs: { mood: { classes: ["valence"], temperature: 1, target: "affect" } } }],
  ["classes of an output", { outputs: { mood: { target: "votes" } } }],
])("a model file whose manifest has no %s is refused", async (_, lacking) => {
  const manifest = { ...manifestIn(model)!, ...lacking };
  const file = withHead(model, { weight: new Float64Array(48), bias: new Float64Array(3) }, manifest);
  await expect(Classifier.open(file)).rejects.toMatchObject({ code: "model-damaged" });
});

test("the interval is Python's wilson_interval, of 36 and 40 hits of 40", () => {
  expect(wilson(0.9, 40)).toEqual({ low: expect.closeTo(0.769482, 5), high: expect.closeTo(0.96042, 5) });
  expect(wilson(1, 40)).toEqual({ low: expect.closeTo(0.912378, 5), high: 1 });
});

test("groups go to the folds of Python's deal_groups", () => {
  const { groups, labels, folds } = vectors.dealt;
  expect(dealGroups(groups.map(String), labels, vectors.classes.length, 5)).toEqual(folds);
});

test("a model is freed after the runs that have begun", async () => {
  const done: string[] = [];
  const run = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    done.push("run");
    return { features: { data: new Float32Array(3) } };
  };
  const session = { outputNames: ["features"], run, release: async () => void done.push("freed") };
  const input = { size_px: 2, crop_px: 2, mean: 0, std: 1 };
  const classifier = Reflect.construct(Classifier, [{ classes: ["a"], scores: {}, input }, session, model]) as Classifier;
  await Promise.all([classifier.features([new Uint8Array(4)]), classifier.dispose()]);
  expect(done).toEqual(["run", "freed"]);
});

test("a model file keeps its network and gets another head and manifest", () => {
  const head = { weight: Float64Array.from({ length: 48 }, (_, at) => at / 8), bias: Float64Array.of(-1, 300, 0.5) };
  const taught = withHead(model, head, { name: "taught", classes: ["a", "b", "ä"] });
  expect(manifestIn(taught)).toEqual({ name: "taught", classes: ["a", "b", "ä"] });
  expect(headIn(taught)).toEqual(head);
  expect(withHead(taught, head, { name: "taught", classes: ["a", "b", "ä"] }).length).toBe(taught.length);
});

test("a file that is cut off or of another kind is refused", () => {
  expect(() => manifestIn(model.subarray(0, -3))).toThrow("cut off");
  expect(() => manifestIn(Buffer.from("no model at all"))).toThrow();
  expect(manifestIn(new Uint8Array())).toBe(null);
});
