import type { Box, Landmarks } from "../faces/box";
import { ANSWER, derivedAffect, type Output, PHOTOGRAPHS } from "../heads/votes";
import { AGREEMENT, decide, likeliest, MAX_ALTERNATIVES, NO_EXPRESSION, NOT_A_FACE } from "../heads/label";
import { type LabelScheme, mergeProbabilities } from "./label_schemes";
import type { PredictedFace } from "./predictor";

/** Key for whether a detected face is blurred. A symbol is left out of saved files, as in Python. */
const BLURRED = Symbol("blurred");

/** The prediction for one face, in the shape of mien's Prediction.to_dict(). */
export interface Prediction {
  source: string;
  box?: Box;
  detection_score?: number;
  /** Points of a detected face in pixels. */
  landmarks?: Landmarks;
  /** Name of the output; only for a model with several outputs. */
  output?: string;
  /** An expression, "unsure" or "not-a-face"; for an output trained on labels the top class. */
  answer: string;
  top: string;
  confidence: number;
  /** Whether the answer is unsure or has alternatives, or the face is blurred; for an output trained on labels, also below 0.5. */
  in_doubt: boolean;
  /** Expressions nearly as probable as the top, the most probable first. */
  alternatives: string[];
  /** Only for an output trained on votes: no expression is probable enough, four or more compete, or the face is blurred. */
  unsure?: boolean;
  not_a_face?: boolean;
  /** Means over the expressions, -1 to 1; no measurement of the person. Only for an output trained on votes. */
  derived_valence?: number;
  derived_arousal?: number;
  probabilities: Record<string, number>;
  [BLURRED]?: true;
}

/** The page's answer for a face: an expression, or "unsure" with the top expression, and its probability. */
export interface Answer {
  kind: "expression" | "unsure" | "not-a-face";
  name: string;
  probability: number;
  /** For an expression: other expressions that are nearly as probable. */
  alternatives: string[];
}

/** Whether the prediction's probabilities are shares of people. */
export function areShares({ output, unsure }: Prediction): boolean {
  return unsure !== undefined && output !== ANSWER && output !== PHOTOGRAPHS;
}

/** The fields of a face from which a prediction is made. */
export type Classified = Pick<PredictedFace, "box" | "score" | "landmarks" | "blurred" | "probabilities">;

/** The prediction of an output under a label scheme. */
export function predictionOf(
  source: string,
  { box, score, landmarks, blurred, probabilities: all }: Classified,
  output: Output,
  scheme: LabelScheme,
): Prediction {
  const probabilities = mergeProbabilities(all[output.name]!, output.classes, scheme);
  const { top, highest: confidence, likely: probable, tied: alternatives } = decide(probabilities, output.unsureBelow, output.margin);
  const isFace = top !== NOT_A_FACE;
  const likely = probable && !blurred;
  const [derived_valence, derived_arousal] = derivedAffect(all[output.name]!, output);
  const doubt = output.byVotes && { unsure: isFace && !likely, not_a_face: !isFace, derived_valence, derived_arousal };
  const isUnsure = doubt ? doubt.unsure : confidence < AGREEMENT || Boolean(blurred);
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
    ...(blurred && { [BLURRED]: true as const }),
  };
}

/** Round to a tenth of a pixel, as in Python. */
function rounded(landmarks: Landmarks): Landmarks {
  const tenth = (value: number) => Math.round(10 * value) / 10;
  return Object.fromEntries(Object.entries(landmarks).map(([name, [x, y]]) => [name, [tenth(x), tenth(y)]])) as Landmarks;
}

/** The answer of a prediction: "unsure" below `minConfidence`, among too many expressions, and for a blurred face. */
export function answerOf({ top, probabilities, alternatives, unsure, [BLURRED]: blurred }: Prediction, minConfidence: number): Answer {
  if (unsure !== undefined && top === NOT_A_FACE) return { kind: "not-a-face", name: top, probability: probabilities[top]!, alternatives: [] };
  const expressions = Object.entries(probabilities).filter(([name]) => unsure === undefined || !NO_EXPRESSION.includes(name));
  const [name, probability] = likeliest(Object.fromEntries(expressions));
  const isSure = name === top && probability >= minConfidence && alternatives.length <= MAX_ALTERNATIVES && !(blurred && unsure !== undefined);
  return { kind: isSure ? "expression" : "unsure", name, probability, alternatives: isSure ? alternatives : [] };
}
