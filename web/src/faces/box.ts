/** A rectangle in pixels of the image; it may extend beyond the border. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Points between the eyes, and between the corners of the mouth. */
export interface Features {
  eyes: [number, number];
  mouth: [number, number];
  landmarks?: Landmarks;
}

/** Points named as in mien.faces.Face, such as right_eye and left_mouth_corner; right is the person's right. */
export type Landmarks = Record<string, [number, number]>;

export interface DetectedFace {
  box: Box;
  /** Middle of the eyes and of the mouth; missing unless the face was checked. */
  features?: Features;
  /** Score of the detector, 0..1, not calibrated. The score may be above 1 for merged proposals. */
  score: number;
}

/** Two boxes are of one face if their overlap covers more than this fraction of the smaller one. */
const NESTED = 0.7;

/** The part of a box inside an image, at least one pixel, like Python's Box.clipped. */
export function clipped({ left, top, width, height }: Box, imageWidth: number, imageHeight: number): Box {
  const [x, y] = [Math.min(Math.max(left, 0), imageWidth - 1), Math.min(Math.max(top, 0), imageHeight - 1)];
  const [right, bottom] = [Math.min(left + width, imageWidth), Math.min(top + height, imageHeight)];
  return { left: x, top: y, width: Math.max(right - x, 1), height: Math.max(bottom - y, 1) };
}

/** Intersection over union, 0..1. */
export function iou(one: Box, other: Box): number {
  const common = shared(one, other);
  return common / (area(one) + area(other) - common);
}

/**
 * Merge boxes that overlap between detection passes, best score first, like mien.faces.face. A merged box is the mean
 * of its boxes, weighted by their squared scores. Its score is the sum of the best score in each pass.
 */
export function mergeAgreeing(looks: DetectedFace[][], minIou: number): DetectedFace[] {
  let left = looks.flatMap((faces, look) => faces.map((face) => ({ ...face, look })));
  left.sort((one, other) => other.score - one.score);
  const merged: DetectedFace[] = [];
  while (left.length) {
    const best = left[0]!;
    const group = left.filter((face) => face === best || iou(best.box, face.box) > minIou);
    // Among the boxes of a pass, the first one is the best.
    const firsts = new Map(group.toReversed().map(({ look, score }) => [look, score]));
    merged.push({ box: meanBox(group), score: [...firsts.values()].reduce((sum, score) => sum + score, 0) });
    const grouped = new Set(group);
    left = left.filter((face) => !grouped.has(face));
  }
  return merged.sort((one, other) => other.score - one.score);
}

/**
 * Non-maximum suppression. If two boxes have a higher IoU than `maxIou`, or one lies mostly in the other, keep the one
 * with the better score. Return the largest box first.
 */
export function suppressOverlaps(faces: DetectedFace[], maxIou: number): DetectedFace[] {
  const kept: DetectedFace[] = [];
  for (const face of faces.toSorted((one, other) => other.score - one.score)) {
    if (kept.every(({ box }) => iou(face.box, box) <= maxIou && sharedWithSmaller(face.box, box) <= NESTED)) kept.push(face);
  }
  return kept.sort((one, other) => area(other.box) - area(one.box));
}

/** Overlap of two boxes, as a fraction of the smaller one. */
export function sharedWithSmaller(one: Box, other: Box): number {
  return shared(one, other) / Math.min(area(one), area(other));
}

function meanBox(faces: DetectedFace[]): Box {
  const total = faces.reduce((sum, { score }) => sum + score ** 2, 0);
  const mean = (side: keyof Box) => faces.reduce((sum, { box, score }) => sum + box[side] * score ** 2, 0) / total;
  return { left: mean("left"), top: mean("top"), width: mean("width"), height: mean("height") };
}

function shared(one: Box, other: Box): number {
  const width = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const height = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  return Math.max(width, 0) * Math.max(height, 0);
}

function area(box: Box): number {
  return box.width * box.height;
}
