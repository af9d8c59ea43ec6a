/** The rule that chooses the answer, as in mien.base.heads. */

/** Answers of annotators that are not expressions, as in mien.base.labels. */
export const NOT_A_FACE = "not-a-face";
export const NO_EXPRESSION = ["unknown", NOT_A_FACE];

/** Default probability below which an answer is in doubt. */
export const AGREEMENT = 0.5;

/** Default margin. Expressions whose probability is below the highest by less than this are alternatives. */
export const TIE_MARGIN = 0.1;

/** An answer with more alternatives is "unsure": four expressions out of seven say nothing. */
export const MAX_ALTERNATIVES = 2;

export interface Decision {
  /** The class of highest probability, and that probability. */
  top: string;
  highest: number;
  /** Whether that class is an expression, probable enough, with few alternatives. */
  likely: boolean;
  /** Expressions nearly as probable, the most probable first. */
  tied: string[];
}

export function decide(probabilities: Record<string, number>, unsureBelow = AGREEMENT, margin = TIE_MARGIN): Decision {
  const [top, highest] = likeliest(probabilities);
  const isTied = ([name, value]: [string, number]) => name !== top && !NO_EXPRESSION.includes(name) && highest - value < margin;
  const tied = top === NOT_A_FACE ? [] : Object.entries(probabilities).filter(isTied).sort((one, other) => other[1] - one[1]);
  const likely = !NO_EXPRESSION.includes(top) && highest >= unsureBelow && tied.length <= MAX_ALTERNATIVES;
  return { top, highest, likely, tied: tied.map(([name]) => name) };
}

/** The most probable class and its probability; if several are equal, the first. */
export function likeliest(probabilities: Record<string, number>): [string, number] {
  return Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
}

/** Compute probabilities from rows of logits divided by the temperature, like mien.Predictor. */
export function softmax(logits: Float32Array, classes: number, temperature: number): number[][] {
  const rows: number[][] = [];
  for (let first = 0; first < logits.length; first += classes) {
    const row = Array.from(logits.subarray(first, first + classes), (logit) => logit / temperature);
    const largest = Math.max(...row);
    const powers = row.map((value) => Math.exp(value - largest));
    const sum = powers.reduce((total, value) => total + value, 0);
    rows.push(powers.map((value) => value / sum));
  }
  return rows;
}
