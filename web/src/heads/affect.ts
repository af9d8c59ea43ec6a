/** Valence and arousal, derived from the probabilities of the expressions, as in mien.base.heads.votes. */

import type { Output } from "./votes";

const VALENCE: Record<string, number> = {
  happy: 0.496, sad: -0.546, surprise: -0.024, fear: -0.694, disgust: -0.566, angry: -0.51, contempt: -0.135, neutral: 0.046,
};

const AROUSAL: Record<string, number> = {
  happy: 0.059, sad: 0.112, surprise: 0.364, fear: 0.226, disgust: 0.264, angry: 0.319, contempt: -0.507, neutral: -0.799,
};

/** Derive valence, -1 (unpleasant) to 1, and arousal, -1 (calm) to 1, from an output's probabilities. */
export function derivedAffect(probabilities: number[], { classes, given, rule }: Output): [valence: number, arousal: number] {
  const words = classes.flatMap((name, at) => {
    if (!(name in VALENCE)) return [];
    return [{ name, share: probabilities[at]! / (rule?.factors[given.indexOf(name)] ?? 1) }];
  });
  const total = Math.max(words.reduce((sum, { share }) => sum + share, 0), 1e-12);
  const mean = (values: Record<string, number>) => words.reduce((sum, { name, share }) => sum + share * values[name]!, 0) / total;
  return [mean(VALENCE), mean(AROUSAL)];
}
