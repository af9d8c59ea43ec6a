import type { Box, Landmarks } from "../faces/box";
import { derivedAffect } from "../heads/affect";
import { AGREEMENT, decide, likeliest, NO_EXPRESSION, NOT_A_FACE } from "../heads/label";
import { ANSWER, type Output } from "../heads/votes";
import { type LabelScheme, mergeProbabilities } from "./label_schemes";
import type { PredictedFace } from "./predictor";

/** The prediction for one face, in the shape of mien's Prediction.to_dict(). */
export interface Prediction {
  source: string;
  box?: Box;
  detection_score?: number;
  /** Points of a detected face, in pixels. */
  landmarks?: Landmarks;
  /** Of a model with several outputs. */
  output?: string;
  /** An expression, "unsure" or "not-a-face"; of an output of labels the class at the top. */
  answer: string;
  top: string;
  confidence: number;
  /** Whether it is unsure, has alternatives, or, of an output of labels, is below one half. */
  in_doubt: boolean;
  /** The expressions that are nearly as likely as the top, the likeliest first. */
  alternatives: string[];
  /** Of an output that people's votes taught: no expression is likely enough. */
  unsure?: boolean;
  not_a_face?: boolean;
  /** Means over the expressions, -1 to 1: no measurement of a person. Only of an output that learned from votes. */
  derived_valence?: number;
  derived_arousal?: number;
  probabilities: Record<string, number>;
}

/** What the page says of a face: an expression, or the one that it would have been, and its probability. */
export interface Answer {
  kind: "expression" | "unsure" | "not-a-face";
  name: string;
  probability: number;
  /** Of an expression: the others that are nearly as likely. */
  alternatives: string[];
}

/** Whether the prediction's probabilities are shares of people. */
export function areShares({ output, unsure }: Prediction): boolean {
  return unsure !== undefined && output !== ANSWER;
}


/** What a prediction is made of. */
export type Classified = Pick<PredictedFace, "box" | "score" | "landmarks" | "probabilities">;

/** The prediction of an output under a label scheme. */
export function predictionOf(
  source: string,
  { box, score, landmarks, probabilities: all }: Classified,
  output: Output,
  scheme: LabelScheme,
): Prediction {
  const probabilities = mergeProbabilities(all[output.name]!, output.classes, scheme);
  const [top, confidence] = likeliest(probabilities);
  const { likely, tied: alternatives } = decide(probabilities, output.unsureBelow, output.margin);
  const isFace = top !== NOT_A_FACE;
  const [derived_valence, derived_arousal] = derivedAffect(all[output.name]!, output);
  const doubt = output.byVotes && { unsure: isFace && !likely, not_a_face: !isFace, derived_valence, derived_arousal };
  const isUnsure = doubt ? doubt.unsure : confidence < AGREEMENT;
  return {
    source,
    ...(box && { box }),
    ...(score !== null && { detection_score: score }),
    ...(landmarks && { landmarks: rounded(landmarks) }),
    ...(output.name && { output: output.name }),
    answer: !doubt || !isFace || likely ? top : "unsure",
    top,
    confidence,
    in_doubt: isUnsure || alternatives.length > 0,
    alternatives,
    ...doubt,
    probabilities,
  };
}

/** To a tenth of a pixel, as in Python. */
function rounded(landmarks: Landmarks): Landmarks {
  const tenth = (value: number) => Math.round(10 * value) / 10;
  return Object.fromEntries(Object.entries(landmarks).map(([name, [x, y]]) => [name, [tenth(x), tenth(y)]]));
}

/** The answer of a prediction. Below `minConfidence` it is unsure. */
export function answerOf({ top, probabilities, alternatives, unsure }: Prediction, minConfidence: number): Answer {
  if (unsure !== undefined && top === NOT_A_FACE) return { kind: "not-a-face", name: top, probability: probabilities[top]!, alternatives: [] };
  const expressions = Object.entries(probabilities).filter(([name]) => unsure === undefined || !NO_EXPRESSION.includes(name));
  const [name, probability] = likeliest(Object.fromEntries(expressions));
  const isSure = name === top && probability >= minConfidence;
  return { kind: isSure ? "expression" : "unsure", name, probability, alternatives: isSure ? alternatives : [] };
}
