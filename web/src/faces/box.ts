/** A rectangle in pixels of the image; it may reach beyond the border. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface DetectedFace {
  box: Box;
  /** The detector's score, 0..1; not calibrated. */
  score: number;
}

/** Intersection over union, 0..1. */
export function iou(one: Box, other: Box): number {
  const width = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const height = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  const intersection = Math.max(width, 0) * Math.max(height, 0);
  return intersection / (area(one) + area(other) - intersection);
}

/** Non-maximum suppression: of boxes with a higher IoU than `maxIou`, the one with the best score. Largest box first. */
export function suppressOverlaps(faces: DetectedFace[], maxIou: number): DetectedFace[] {
  const kept: DetectedFace[] = [];
  for (const face of faces.toSorted((one, other) => other.score - one.score)) {
    if (kept.every((other) => iou(face.box, other.box) <= maxIou)) kept.push(face);
  }
  return kept.sort((one, other) => area(other.box) - area(one.box));
}

function area(box: Box): number {
  return box.width * box.height;
}
