/** The outputs of a model: each is an answer of its own, with its own classes. As mien.base.heads.votes. */

import type { Manifest } from "../model/manifest";
import { AGREEMENT, NO_EXPRESSION, NOT_A_FACE, softmax, TIE_MARGIN } from "./label";

/** Name of the output that a rule makes of the votes' output. */
export const ANSWER = "answer";

export interface Rule {
  /** What each share of the logits' classes is multiplied by. */
  factors: number[];
}

export interface Output {
  /** Empty for the only output of a model without named ones. */
  name: string;
  /** The graph's output with its logits. */
  logits: string;
  classes: string[];
  /** Classes of the logits; without a rule the same. */
  given: string[];
  /** What makes it of another output's probabilities. */
  rule?: Rule;
  /** Below this probability an answer of people's votes is "unsure". */
  unsureBelow: number;
  /** Expressions less than this behind the first are alternatives. */
  margin: number;
  temperature: number;
  /** What taught it: label, votes, sampled or majority. */
  target: string;
  /** Whether votes taught it. Without a rule, a probability is the share of people who are expected to choose the class. */
  byVotes: boolean;
  /** How often it is right on the validation images; null where that was not measured by their label. */
  accuracy: number | null;
}

const USUAL = { unsureBelow: AGREEMENT, margin: TIE_MARGIN };

/** Probabilities of one face: a row for each output, by its name, in the order of its classes. */
export type Probabilities = Record<string, number[]>;

/** The outputs in the manifest's order, as mien.base.model_file.Manifest.all_outputs names their logits. */
export function outputsOf({ outputs = {}, classes, temperature, scores, answer }: Manifest): Output[] {
  const accuracy = scores["validation_accuracy"] ?? null;
  const named = Object.entries(outputs).map(([name, output], index) => ({
    name,
    logits: index === 0 ? "logits" : `logits_${name}`,
    classes: output.classes,
    given: output.classes,
    temperature: index === 0 ? temperature : output.temperature,
    target: output.target,
    byVotes: output.target !== "label",
    ...USUAL,
    accuracy: index === 0 ? accuracy : null,
  }));
  if (!named.length) {
    return [{ name: "", logits: "logits", classes, given: classes, temperature, target: "label", byVotes: false, ...USUAL, accuracy }];
  }
  const votes = answer && named.find(({ name }) => name === answer.output);
  if (!votes) return named;
  const { prior, strength, weights = {}, unsure_below: unsureBelow, margin = TIE_MARGIN } = answer;
  const factors = votes.given.map((name, at) => (weights[name] ?? 1) / prior[at]! ** strength);
  const shown = votes.given.filter((name) => !NO_EXPRESSION.includes(name) || name === NOT_A_FACE);
  return [{ ...votes, name: ANSWER, classes: shown, rule: { factors }, unsureBelow, margin, accuracy: null }, ...named];
}

/** Probabilities of an output's classes from rows of its logits, as mien.base.heads.votes.VotesHead.shown. */
export function probabilitiesOf({ given, classes, temperature, rule }: Pick<Output, "given" | "classes" | "temperature" | "rule">, logits: Float32Array): number[][] {
  const rows = softmax(logits, given.length, temperature);
  if (!rule) return rows;
  const isExpression = given.map((name) => !NO_EXPRESSION.includes(name));
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  return rows.map((row) => {
    const shares = row.map((share) => share + 1e-12);
    const weighted = shares.map((share, at) => (isExpression[at] ? share * rule.factors[at]! : 0));
    const scale = sum(shares.filter((_, at) => isExpression[at])) / sum(weighted);
    const all = shares.map((share, at) => (isExpression[at] ? weighted[at]! * scale : share));
    const kept = classes.map((name) => all[given.indexOf(name)]!);
    const total = sum(kept);
    return kept.map((value) => value / total);
  });
}

/** The output that answers unless the user chooses, as mien.base.model_file.Manifest.output says. */
export function defaultOutput(outputs: Output[]): Output {
  if (outputs[0]!.rule) return outputs[0]!;
  const by = (wanted: string) => outputs.find(({ target }) => target === wanted);
  return by("votes") ?? by("sampled") ?? by("majority") ?? outputs[0]!;
}
