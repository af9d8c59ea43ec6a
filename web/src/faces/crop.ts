import { luma } from "../preprocess/grey";
import { type GreyImage, type RgbaImage, roundHalfEven } from "../preprocess/image";
import type { Box, Features } from "./box";

/** Side of a crop like FER2013's, in longer sides of this detector's box. As in mien.faces.network. */
export const MARGIN = 0.975;

/** Where eyes and mouth are in FER2013's images, in sides of an image. As in mien.faces.crop. */
const SPAN = 0.406;
const DOWN = 0.085;

/** A square region of an image, which may reach beyond the border. */
export interface Square {
  left: number;
  top: number;
  side: number;
}

/** The square that is cut out for a face, as mien.faces.crop has it: where eyes and mouth are known, they say where. */
export function squareAround(box: Box, features?: Features): Square {
  let exact = MARGIN * Math.max(box.width, box.height);
  let [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  if (features) {
    const { eyes, mouth } = features;
    exact = Math.sqrt((exact * Math.hypot(mouth[0] - eyes[0], mouth[1] - eyes[1])) / SPAN);
    [x, y] = [(eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2 - DOWN * exact];
  }
  const side = Math.max(roundHalfEven(exact), 1);
  return { side, left: roundHalfEven(x - side / 2), top: roundHalfEven(y - side / 2) };
}

/** The square region in grey; beyond the border the image's border pixels repeat. */
export function cut(image: RgbaImage, { left, top, side }: Square): GreyImage {
  const data = new Uint8Array(side * side);
  for (let row = 0; row < side; row += 1) {
    const from = Math.min(Math.max(top + row, 0), image.height - 1) * image.width;
    for (let column = 0; column < side; column += 1) {
      const source = from + Math.min(Math.max(left + column, 0), image.width - 1);
      data[row * side + column] = luma(image.data, 4 * source);
    }
  }
  return { width: side, height: side, data };
}
