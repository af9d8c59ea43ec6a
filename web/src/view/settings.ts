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

/** Return the default settings for an output, until the user changes them. */
export function settingsOf(output: Output): Pick<Settings, "output" | "scheme" | "minConfidence"> {
  return { output, scheme: schemesFor(output)[0]!, minConfidence: output.byVotes ? output.unsureBelow : 0 };
}
