import type { Output } from "../heads/votes";
import { type LabelScheme, schemesFor } from "../predictions/label_schemes";

/** The user's settings for showing predictions. */
export interface Settings {
  /** Output of the model that is used. */
  output: Output;
  scheme: LabelScheme;
  /** Confidence, 0..1, below which the page shows "unsure". */
  minConfidence: number;
  mirror: boolean;
}

const LABEL_MIN_CONFIDENCE = 0.4;

/** Return the default settings for an output, until the user changes them. */
export function settingsOf(output: Output): Pick<Settings, "output" | "scheme" | "minConfidence"> {
  const minConfidence = output.byVotes ? output.unsureBelow : LABEL_MIN_CONFIDENCE;
  return { output, scheme: schemesFor(output)[0]!, minConfidence };
}
