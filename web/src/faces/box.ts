/** A rectangle in pixels of the picture; it may reach beyond the border. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface FoundFace {
  box: Box;
  /** How sure the detector is, 0..1; not calibrated. */
  score: number;
}

/** Shared area over joint area, 0..1. */
export function overlap(one: Box, other: Box): number {
  const across = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const down = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  const shared = Math.max(across, 0) * Math.max(down, 0);
  return shared / (one.width * one.height + other.width * other.height - shared);
}

/** Of boxes that overlap by more than `most`, the surest. The largest comes first. */
export function withoutOverlaps(faces: FoundFace[], most: number): FoundFace[] {
  const kept: FoundFace[] = [];
  for (const face of faces.toSorted((one, other) => other.score - one.score)) {
    if (kept.every((other) => overlap(face.box, other.box) <= most)) kept.push(face);
  }
  return kept.sort((one, other) => area(other.box) - area(one.box));
}

function area(box: Box): number {
  return box.width * box.height;
}
