import type { Box } from "../faces/box";
import { ANSWER, NO_EXPRESSION, NOT_A_FACE, type Output } from "../model/outputs";
import { type LabelScheme, mergeProbabilities } from "./label_schemes";
import type { PredictedFace } from "./predictor";

/** The prediction for one face, in the shape of mien's Prediction.to_dict(). */
export interface Prediction {
  source: string;
  box?: Box;
  detection_score?: number;
  /** Of a model with several outputs. */
  output?: string;
  /** What people would say: an expression, "unsure" or "not-a-face"; otherwise the class at the top. */
  answer: string;
  top: string;
  confidence: number;
  /** Of an output that people's votes taught: no expression is likely enough. */
  unsure?: boolean;
  not_a_face?: boolean;
  probabilities: Record<string, number>;
}

/** What the page says of a face: an expression, or the one that it would have been, and its probability. */
export interface Answer {
  kind: "expression" | "unsure" | "not-a-face";
  name: string;
  probability: number;
}

/** Whether the prediction's probabilities are shares of people. */
export function areShares({ output, unsure }: Prediction): boolean {
  return unsure !== undefined && output !== ANSWER;
}

/** Share of people who must be expected to choose the same expression; as in mien.inference.prediction. */
export const AGREEMENT = 0.5;

/** What a prediction is made of. */
export type Classified = Pick<PredictedFace, "box" | "score" | "probabilities">;

/** The prediction of an output under a label scheme. */
export function predictionOf(
  source: string,
  { box, score, probabilities: all }: Classified,
  output: Output,
  scheme: LabelScheme,
): Prediction {
  const probabilities = mergeProbabilities(all[output.name]!, output.classes, scheme);
  const [top, confidence] = likeliest(probabilities);
  const kind = output.byVotes ? byVotes(probabilities, output.rule?.unsureBelow ?? AGREEMENT).kind : null;
  return {
    source,
    ...(box && { box }),
    ...(score !== null && { detection_score: score }),
    ...(output.name && { output: output.name }),
    answer: kind === null || kind === "expression" ? top : kind,
    top,
    confidence,
    ...(kind && { unsure: kind === "unsure", not_a_face: kind === "not-a-face" }),
    probabilities,
  };
}

/** The class with the highest probability, and that probability; the first of equal ones. */
export function likeliest(probabilities: Record<string, number>): [string, number] {
  return Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
}

/** The answer of a prediction. Below `minConfidence` it is unsure. */
export function answerOf(prediction: Prediction, minConfidence: number): Answer {
  const { top, confidence, probabilities, unsure } = prediction;
  if (unsure !== undefined) return byVotes(probabilities, minConfidence);
  return { kind: confidence >= minConfidence ? "expression" : "unsure", name: top, probability: confidence };
}

/** The rule of docs/predict.md, "What people would say". */
function byVotes(probabilities: Record<string, number>, agreement: number): Answer {
  const [top, highest] = likeliest(probabilities);
  if (top === NOT_A_FACE) return { kind: "not-a-face", name: top, probability: highest };
  const expressions = Object.entries(probabilities).filter(([name]) => !NO_EXPRESSION.includes(name));
  const [name, probability] = likeliest(Object.fromEntries(expressions));
  return { kind: name === top && probability >= agreement ? "expression" : "unsure", name, probability };
}
