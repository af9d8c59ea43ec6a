import { luma } from "../preprocess/grey";
import { type GreyImage, type RgbaImage, roundHalfEven } from "../preprocess/image";
import type { Box } from "./box";

/**
 * How this detector's box becomes a crop like FER2013's, relative to the longer side of the box: the crop's side, and
 * how far its centre lies below the centre of the box. As in mien.faces.network.
 */
export const MARGIN = { size: 1.05, down: 0 };

/** A square region of an image, which may reach beyond the border. */
export interface Square {
  left: number;
  top: number;
  side: number;
}

export function squareAround(box: Box, margin = MARGIN): Square {
  const longer = Math.max(box.width, box.height);
  const side = Math.max(roundHalfEven(margin.size * longer), 1);
  return {
    side,
    left: roundHalfEven(box.left + box.width / 2 - side / 2),
    top: roundHalfEven(box.top + box.height / 2 + margin.down * longer - side / 2),
  };
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
