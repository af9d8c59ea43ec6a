// Oracle: by hand, in heads.json, which tests/base/test_heads.py reads too.
import { expect, test } from "vitest";

import { defaultOutput, derivedAffect, outputsOf, probabilitiesOf } from "../../src/heads/votes";
import { decide, softmax } from "../../src/heads/label";
import type { Manifest } from "../../src/model/manifest";
import vectors from "../heads.json";

test("a rule makes an answer of shares of people, as in Python", () => {
  const { classes, rule: answer, shares, shown } = vectors;
  const outputs = {
    fer2013: { classes: ["a", "b"], temperature: 1, target: "label" },
    perceived: { classes, temperature: 1, target: "votes" },
    affect: { classes: ["valence", "arousal"], temperature: 1, target: "affect" },
  };
  const manifest = { classes: ["a", "b"], temperature: 1, scores: {}, outputs, answer } as unknown as Manifest;
  const [first, ...others] = outputsOf(manifest);
  expect(defaultOutput(outputsOf(manifest)).name).toBe("answer");
  expect(first).toMatchObject({ unsureBelow: 0.4, margin: 0.15, classes: classes.filter((name) => name !== "unknown") });
  const [row] = probabilitiesOf(first!, Float32Array.from(shares, Math.log));
  shown.forEach((value, at) => expect(row![at]).toBeCloseTo(value, 4));
  expect(others.map(({ name }) => name)).toEqual(["fer2013", "perceived"]);
  const perceived = others.find(({ name }) => name === "perceived")!;
  expect(probabilitiesOf(perceived, Float32Array.from(shares, Math.log))[0]![0]).toBeCloseTo(0.36, 6);
});

test("valence and arousal are those of the shares of people, with a rule and without", () => {
  const { classes, rule: answer, shares, affect } = vectors;
  const outputs = { fer2013: { classes: ["a", "b"], temperature: 1, target: "label" }, perceived: { classes, temperature: 1, target: "votes" } };
  for (const output of outputsOf({ classes: ["a", "b"], temperature: 1, scores: {}, outputs, answer } as unknown as Manifest)) {
    if (!output.byVotes) continue;
    const [row] = probabilitiesOf(output, Float32Array.from(shares, Math.log));
    derivedAffect(row!, output).forEach((value, at) => expect(value).toBeCloseTo(affect[at]!, 4));
  }
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
