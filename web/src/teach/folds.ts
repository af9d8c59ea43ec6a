/**
 * Deal groups into folds so that each class is spread evenly over them, like mien.data.splits.deal_groups. Equal groups
 * keep the given order. Returns the fold of each face, 0..count - 1.
 */
export function dealGroups(groups: string[], labels: number[], classes: number, count: number): number[] {
  const names = [...new Set(groups)];
  const inClass = Array.from({ length: classes }, (_, label) => labels.filter((each) => each === label).length);
  const counts = names.map(() => inClass.map(() => 0));
  groups.forEach((group, at) => (counts[names.indexOf(group)]![labels[at]!]! += 1));
  const order = names.map((_, at) => at).toSorted((one, other) => deviation(counts[other]!) - deviation(counts[one]!));
  const held = Array.from({ length: count }, () => inClass.map(() => 0));
  const sizes = held.map(() => 0);
  const foldOf = names.map(() => 0);
  order.forEach((group, done) => {
    const shares = counts[group]!.map((value, label) => value / inClass[label]!);
    const empty = sizes.filter((size) => !size).length;
    const ranks = held.map((_, fold) => {
      // Give the last groups to folds that are still empty.
      if (sizes[fold]! && order.length - done <= empty) return Infinity;
      const uneven = shares.map((share, label) => deviation(held.map((row, at) => row[label]! + (at === fold ? share : 0))));
      return Number(uneven.reduce((sum, value) => sum + value / classes, 0).toFixed(12));
    });
    const best = ranks.reduce((least, rank, fold) => (rank < ranks[least]! || (rank === ranks[least] && sizes[fold]! < sizes[least]!) ? fold : least), 0);
    foldOf[group] = best;
    shares.forEach((share, label) => (held[best]![label]! += share));
    sizes[best]! += counts[group]!.reduce((sum, value) => sum + value, 0);
  });
  return groups.map((group) => foldOf[names.indexOf(group)]!);
}

function deviation(values: number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
