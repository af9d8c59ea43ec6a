/** A rectangle in pixels of the image; it may extend beyond the border. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Names of the points of a face; right is the person's right. */
export const LANDMARKS = ["right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner"] as const;

/** Points in pixels of the image, named as in mien.faces.Face. */
export type Landmarks = Record<(typeof LANDMARKS)[number], [number, number]>;

export interface DetectedFace {
  box: Box;
  /** Score of the detector, 0..1, not calibrated. */
  score: number;
  landmarks?: Landmarks;
}

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

/** Overlap of two boxes, as a fraction of the smaller one. */
export function sharedWithSmaller(one: Box, other: Box): number {
  return shared(one, other) / Math.min(area(one), area(other));
}

function shared(one: Box, other: Box): number {
  const width = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const height = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  return Math.max(width, 0) * Math.max(height, 0);
}

function area(box: Box): number {
  return box.width * box.height;
}
