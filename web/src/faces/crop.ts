import { type GreyImage, luma, type RgbaImage, roundHalfEven } from "../preprocess/image";
import type { Box, Landmarks } from "./box";

/** Side of a crop framed like FER2013's, as a multiple of the box's longer side. As in mien.faces.find. */
const MARGIN = 0.94;

/** Position of eyes and mouth in FER2013, as fractions of the image's side. As in mien.faces.face. */
const SPAN = 0.406;
const DOWN = 0.085;

/** A face with a larger tilt, in radians, is turned level. As in mien.faces.face. */
const LEVEL_FROM = (15 * Math.PI) / 180;

/** Largest side of a crop that is turned level. */
const MAX_LEVEL_PX = 384;

/** A crop with a lower `sharpness` is blurred. As in mien.faces.face. */
export const SHARP = 0.03;

/** Part of a crop's side that `sharpness` leaves out at each side. */
const SHARPNESS_EDGE = 8;

/** Tilt of a face in radians clockwise, and the point that it is rotated about. */
interface Tilt {
  angle: number;
  x: number;
  y: number;
}

/** A square region of an image, which may extend beyond the border. */
export interface Square {
  left: number;
  top: number;
  side: number;
  /** Set only for a tilted face. */
  tilt?: Tilt;
}

/** Points between the eyes, and between the corners of the mouth. */
function featuresOf({ right_eye, left_eye, right_mouth_corner, left_mouth_corner }: Landmarks) {
  const between = (one: [number, number], other: [number, number]): [number, number] => [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
  return { eyes: between(right_eye, left_eye), mouth: between(right_mouth_corner, left_mouth_corner) };
}

/** The square to cut out for a face, as in mien.faces.face. The square's position depends on eyes and mouth, if they
 * are known. */
export function squareAround(box: Box, landmarks?: Landmarks): Square {
  let exact = MARGIN * Math.max(box.width, box.height);
  let [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const features = landmarks && featuresOf(landmarks);
  if (features) {
    const { eyes, mouth } = features;
    exact = Math.sqrt((exact * Math.hypot(mouth[0] - eyes[0], mouth[1] - eyes[1])) / SPAN);
    [x, y] = [(eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2 - DOWN * exact];
  }
  const side = Math.max(roundHalfEven(exact), 1);
  const tilt = features && tiltOf(features);
  return { side, left: roundHalfEven(x - side / 2), top: roundHalfEven(y - side / 2), ...(tilt && { tilt }) };
}

function tiltOf({ eyes, mouth }: ReturnType<typeof featuresOf>): Tilt | null {
  const [x, y] = [(eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2];
  const angle = Math.atan2(eyes[0] - x, y - eyes[1]);
  return Math.abs(angle) >= LEVEL_FROM ? { angle, x, y } : null;
}

/** Cut out the square in grey, with repeated border pixels beyond the image. */
export function cut(image: RgbaImage, { left, top, side, tilt }: Square): GreyImage {
  if (tilt) return cutTurned(image, { left, top, side }, tilt);
  const data = new Uint8Array(side * side);
  for (let row = 0; row < side; row += 1) {
    for (let column = 0; column < side; column += 1) data[row * side + column] = greyAt(image, left + column, top + row);
  }
  return { width: side, height: side, data };
}

/** Cut out the rotated square, with bilinear interpolation between pixel centres. */
function cutTurned(image: RgbaImage, { left, top, side }: Square, { angle, x, y }: Tilt): GreyImage {
  const count = Math.min(side, MAX_LEVEL_PX);
  const data = new Uint8Array(count * count);
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const within = (value: number, size: number) => Math.min(Math.max(value, 0), size - 1);
  for (let row = 0; row < count; row += 1) {
    const down = top + ((row + 0.5) * side) / count - y;
    for (let column = 0; column < count; column += 1) {
      const across = left + ((column + 0.5) * side) / count - x;
      const [u, v] = [within(x + cosine * across - sine * down - 0.5, image.width), within(y + sine * across + cosine * down - 0.5, image.height)];
      const [first, above] = [Math.floor(u), Math.floor(v)];
      const mixed = (line: number) => greyAt(image, first, line) * (1 - u + first) + greyAt(image, first + 1, line) * (u - first);
      data[row * count + column] = Math.floor(mixed(above) * (1 - v + above) + mixed(above + 1) * (v - above) + 0.5);
    }
  }
  return { width: count, height: count, data };
}

function greyAt({ width, height, data }: RgbaImage, column: number, row: number): number {
  const at = Math.min(Math.max(row, 0), height - 1) * width + Math.min(Math.max(column, 0), width - 1);
  return luma(data, 4 * at);
}

/** How sharp a face crop of side * side values is, in its less sharp direction, as mien.faces.face.sharpness. */
export function sharpness(crop: Uint8Array, side: number): number {
  const edge = Math.floor(side / SHARPNESS_EDGE);
  const inner = side - 2 * edge;
  const at = (row: number, column: number) => crop[(edge + row) * side + edge + column]!;
  let [sum, squares, across, down] = [0, 0, 0, 0];
  for (let row = 0; row < inner; row += 1) {
    for (let column = 0; column < inner; column += 1) {
      const value = at(row, column);
      sum += value;
      squares += value * value;
      if (column < inner - 2) across += (value - 2 * at(row, column + 1) + at(row, column + 2)) ** 2;
      if (row < inner - 2) down += (value - 2 * at(row + 1, column) + at(row + 2, column)) ** 2;
    }
  }
  const count = inner * inner;
  const variance = squares / count - (sum / count) ** 2;
  return Math.min(across, down) / (inner * (inner - 2)) / Math.max(variance, 1e-6);
}

/** mien.faces.face explains these constants. */
const WHITE_SHARE = 0.995;
const DARK_BELOW = 128;
const BLACK_BELOW = 8;
const STEP = 4;

/** Brighten a dark image until its brightest pixels are white; return any other unchanged. */
export function brightened(image: RgbaImage): RgbaImage {
  const white = Math.max(whiteLevel(image), BLACK_BELOW);
  if (white >= DARK_BELOW) return image;
  // Uint8ClampedArray sets larger values to 255. Alpha is 255 and stays.
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, level) => Math.floor(level * (255 / white)));
  // Not {...image}: the size of a canvas's ImageData is no property of its own.
  const data = new Uint8Array(image.data.length);
  // Not map(): a call for each value takes five times as long.
  for (let at = 0; at < data.length; at += 1) data[at] = levels[image.data[at]!]!;
  return { width: image.width, height: image.height, data };
}

/** The level that 99.5% of a sample of the pixels do not exceed. */
function whiteLevel({ data, width, height }: RgbaImage): number {
  const counts = new Uint32Array(256);
  let total = 0;
  for (let row = 0; row < height; row += STEP) {
    for (let column = 0; column < width; column += STEP) {
      const at = (row * width + column) * 4;
      for (let channel = at; channel < at + 3; channel += 1) counts[data[channel]!]! += 1;
      total += 3;
    }
  }
  let level = 0;
  for (let below = counts[0]!; below < WHITE_SHARE * total; below += counts[level]!) level += 1;
  return level;
}
