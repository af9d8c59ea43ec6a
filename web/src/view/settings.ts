import type { Output } from "../heads/votes";
import { type LabelScheme, schemesFor } from "../predictions/label_schemes";

/** What the user has chosen about how predictions are shown. */
export interface Settings {
  /** Which of the model's outputs answers. */
  output: Output;
  scheme: LabelScheme;
  /** Below this confidence, 0..1, the page shows "unsure". */
  minConfidence: number;
  mirror: boolean;
}

const LABEL_MIN_CONFIDENCE = 0.4;

/** The settings that depend on the output, until the user chooses others. */
export function settingsOf(output: Output): Pick<Settings, "output" | "scheme" | "minConfidence"> {
  const minConfidence = output.byVotes ? output.unsureBelow : LABEL_MIN_CONFIDENCE;
  return { output, scheme: schemesFor(output)[0]!, minConfidence };
}
