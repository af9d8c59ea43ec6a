import { type GreyImage, roundHalfEven } from "./image";
import { resizeGrey } from "./resize";

/**
 * Make the grey face crop for a model, like mien.base.preprocess: resize until the longer side fits, then pad with
 * border pixels. Returns side * side values.
 */
export function toFaceCrop(image: GreyImage, side: number): Uint8Array {
  const longer = Math.max(image.width, image.height);
  const fitted = (length: number) => Math.max(roundHalfEven((length * side) / longer), 1);
  const small = longer === side ? image : resizeGrey(image, fitted(image.width), fitted(image.height));
  return padded(small, side);
}

function padded({ width, height, data }: GreyImage, side: number): Uint8Array {
  const above = Math.floor((side - height) / 2);
  const before = Math.floor((side - width) / 2);
  const crop = new Uint8Array(side * side);
  for (let row = 0; row < side; row += 1) {
    const from = Math.min(Math.max(row - above, 0), height - 1) * width;
    for (let column = 0; column < side; column += 1) {
      crop[row * side + column] = data[from + Math.min(Math.max(column - before, 0), width - 1)]!;
    }
  }
  return crop;
}
