import type { Box } from "../faces/box";
import { merge, type Scheme } from "./schemes";

/** What is said about one face, in the shape of mien's Reading.to_dict(). */
export interface Reading {
  source: string;
  box?: Box;
  top: string;
  confidence: number;
  probabilities: Record<string, number>;
}

export function readingOf(
  source: string,
  box: Box | null,
  shares: number[],
  classes: string[],
  scheme: Scheme,
): Reading {
  const probabilities = merge(shares, classes, scheme);
  const [top, confidence] = Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
  return { source, ...(box && { box }), top, confidence, probabilities };
}

/** The class to name, or null where the model is less sure than `least`. */
export function named(reading: Reading, least: number): string | null {
  return reading.confidence >= least ? reading.top : null;
}
