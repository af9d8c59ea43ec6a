import type { Output } from "../heads/votes";

/** Label schemes as in mien.base.labels: the classes of the model that form each shown class. */

export interface LabelScheme {
  name: "all" | "five" | "binary";
  /** From each new class to the classes of the model that it merges. Other classes are dropped. */
  groups: Record<string, string[]>;
}

const FIVE = ["angry", "fear", "happy", "sad", "surprise"];

const MERGING: LabelScheme[] = [
  { name: "five", groups: Object.fromEntries(FIVE.map((name) => [name, [name]])) },
  { name: "binary", groups: { negative: ["angry", "fear", "sad"], positive: ["happy", "surprise"] } },
];

/**
 * The schemes that an output allows; the first keeps all classes. Outputs for votes allow only the first, because
 * shares of people are not valid after a class is dropped.
 */
export function schemesFor({ classes, byVotes }: Pick<Output, "classes" | "byVotes">): LabelScheme[] {
  const all: LabelScheme = { name: "all", groups: Object.fromEntries(classes.map((name) => [name, [name]])) };
  if (byVotes) return [all];
  const known = new Set(classes);
  const allowed = MERGING.filter(({ groups }) => Object.values(groups).flat().every((name) => known.has(name)));
  return [all, ...allowed.filter(({ groups }) => Object.keys(groups).length < classes.length)];
}

/** Probabilities of the scheme's classes: sums over each group, rescaled to sum to 1. */
export function mergeProbabilities(
  probabilities: number[],
  classes: string[],
  scheme: LabelScheme,
): Record<string, number> {
  const shareOf = (name: string) => probabilities[classes.indexOf(name)] ?? 0;
  const sums = Object.values(scheme.groups).map((group) => group.reduce((sum, name) => sum + shareOf(name), 0));
  const total = sums.reduce((sum, value) => sum + value, 0);
  const shares = sums.map((sum) => (total > 0 ? sum / total : 1 / sums.length));
  return Object.fromEntries(Object.keys(scheme.groups).map((name, index) => [name, shares[index]!]));
}
