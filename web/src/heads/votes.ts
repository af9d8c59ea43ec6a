/** Outputs of a model, each with its own classes and answers, as in mien.base.heads. */

import { AGREEMENT, NO_EXPRESSION, NOT_A_FACE, softmax, TIE_MARGIN } from "./label";

/** Name of the output that an answer rule makes from votes. */
export const ANSWER = "answer";

/** Name of the output of mien's models that learned faces in photographs. Its labels are not only people's. */
export const PHOTOGRAPHS = "photographs";

/** The fields of a model's manifest that say what its outputs are; see mien.base.model_file. */
export interface AnswerFields {
  classes: string[];
  temperature: number;
  /** Scores of the first output. */
  scores: Record<string, number>;
  /** Outputs by name. The first output has the classes and temperature above. Empty or missing if there is one output
   * without a name. */
  outputs?: Record<string, { classes: string[]; temperature: number; target: string }>;
  /** Rule that turns shares of people into the default answer, as mien.base.heads.AnswerRule. */
  answer?: AnswerRule | null;
}

interface AnswerRule {
  output: string;
  prior: number[];
  strength: number;
  weights?: Record<string, number>;
  unsure_below: number;
  margin?: number;
}

export interface Output {
  /** Empty for a model without named outputs. */
  name: string;
  /** Name of the graph's output that holds the logits. */
  logits: string;
  classes: string[];
  /** Classes of the logits; without a rule equal to `classes`. */
  given: string[];
  /** Rule that computes this output from another's: a factor for each class of the logits, to multiply its share by. */
  rule?: { factors: number[] };
  /** Probability below which an answer from votes is "unsure". */
  unsureBelow: number;
  /** Expressions less than this below the highest probability are alternatives. */
  margin: number;
  temperature: number;
  /** Training target: label, votes, sampled or majority. */
  target: string;
  /** Whether the output was trained on votes. Without a rule, a probability is then the expected share of people. */
  byVotes: boolean;
  /** Accuracy on the validation images; null if not measured. */
  accuracy: number | null;
}

const USUAL = { unsureBelow: AGREEMENT, margin: TIE_MARGIN };

/** Probabilities of one face: one row per output name, in the order of its classes. */
export type Probabilities = Record<string, number[]>;

/** Average probabilities: the first have this weight, the others the rest. */
export function mixed(one: Probabilities, other: Probabilities, weight: number): Probabilities {
  const mean = (name: string, row: number[]) => row.map((value, at) => weight * value + (1 - weight) * other[name]![at]!);
  return Object.fromEntries(Object.entries(one).map(([name, row]) => [name, mean(name, row)]));
}

/** The outputs in the manifest's order, with logits named as in mien.base.model_file.Manifest.all_outputs. */
export function outputsOf({ outputs = {}, classes, temperature, scores, answer }: AnswerFields): Output[] {
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
  const answering = named.filter(({ target }) => target !== "affect");
  const votes = answer && answering.find(({ name }) => name === answer.output);
  if (!votes) return answering;
  const { prior, strength, weights = {}, unsure_below: unsureBelow, margin = TIE_MARGIN } = answer;
  const factors = votes.given.map((name, at) => (weights[name] ?? 1) / prior[at]! ** strength);
  const shown = votes.given.filter((name) => !NO_EXPRESSION.includes(name) || name === NOT_A_FACE);
  return [{ ...votes, name: ANSWER, classes: shown, rule: { factors }, unsureBelow, margin, accuracy: null }, ...answering];
}

/** Compute an output's probabilities from its logits, like mien.base.heads.VotesHead.shown. */
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

/** The output that is used by default, like mien.base.model_file.Manifest.output. */
export function defaultOutput(outputs: Output[]): Output {
  if (outputs[0]!.rule) return outputs[0]!;
  const by = (wanted: string) => outputs.find(({ target }) => target === wanted);
  return by("votes") ?? by("sampled") ?? by("majority") ?? outputs[0]!;
}

const VALENCE: Record<string, number> = {
  happy: 0.496, sad: -0.546, surprise: -0.024, fear: -0.694, disgust: -0.566, angry: -0.51, contempt: -0.135, neutral: 0.046,
};

const AROUSAL: Record<string, number> = {
  happy: 0.059, sad: 0.112, surprise: 0.364, fear: 0.226, disgust: 0.264, angry: 0.319, contempt: -0.507, neutral: -0.799,
};

/** As in mien.base.heads: derive valence, -1 (unpleasant) to 1, and arousal, -1 (calm) to 1, from an output's probabilities. */
export function derivedAffect(probabilities: number[], { classes, given, rule }: Output): [valence: number, arousal: number] {
  const words = classes.flatMap((name, at) => {
    if (!(name in VALENCE)) return [];
    return [{ name, share: probabilities[at]! / (rule?.factors[given.indexOf(name)] ?? 1) }];
  });
  const total = Math.max(words.reduce((sum, { share }) => sum + share, 0), 1e-12);
  const mean = (values: Record<string, number>) => words.reduce((sum, { name, share }) => sum + share * values[name]!, 0) / total;
  return [mean(VALENCE), mean(AROUSAL)];
}
