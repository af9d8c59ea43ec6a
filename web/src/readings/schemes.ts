/** The same schemes as mien.labels: which of a model's classes make up each class that is shown. */

export interface Scheme {
  name: "all" | "five" | "binary";
  /** New class -> classes of the model that it merges; classes named nowhere are dropped. */
  groups: Record<string, string[]>;
}

const FIVE = ["angry", "fear", "happy", "sad", "surprise"];

const MERGING: Scheme[] = [
  { name: "five", groups: Object.fromEntries(FIVE.map((name) => [name, [name]])) },
  { name: "binary", groups: { negative: ["angry", "fear", "sad"], positive: ["happy", "surprise"] } },
];

/** The schemes that a model's classes allow; the first keeps them as they are. */
export function schemesFor(classes: string[]): Scheme[] {
  const whole: Scheme = { name: "all", groups: Object.fromEntries(classes.map((name) => [name, [name]])) };
  const known = new Set(classes);
  const allowed = MERGING.filter(({ groups }) => Object.values(groups).flat().every((name) => known.has(name)));
  return [whole, ...allowed.filter(({ groups }) => Object.keys(groups).length < classes.length)];
}

/** Probabilities of the scheme's classes: sums over each group, rescaled to sum to 1. */
export function merge(shares: number[], classes: string[], scheme: Scheme): Record<string, number> {
  const sums = Object.values(scheme.groups).map((group) =>
    group.reduce((sum, name) => sum + (shares[classes.indexOf(name)] ?? 0), 0),
  );
  const total = sums.reduce((sum, value) => sum + value, 0);
  return Object.fromEntries(
    Object.keys(scheme.groups).map((name, index) => [name, total > 0 ? sums[index]! / total : 1 / sums.length]),
  );
}
