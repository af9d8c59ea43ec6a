/** An occlusion map in colour over its face crop, as mien.explanation.explainer draws it. */

/** Matplotlib's magma (Smith & van der Walt, CC0), every 16th colour. */
const MAGMA = (
  "000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779 cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 " +
  "fcfdbf"
)
  .split(" ")
  .map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

/** The quantile of a map's positive values that gets the last colour. */
const MAX_QUANTILE = 0.99;

/** Opacity of the strongest colour. */
const MAX_OPACITY = 0.6;

/** Draw the map. Where it is 0 or negative, the face stays grey. */
export function drawMap(canvas: HTMLCanvasElement, crop: Uint8Array, map: Float32Array, mirror: boolean): void {
  const side = Math.sqrt(crop.length);
  const positive = map.filter((value) => value > 0).sort();
  const largest = positive.length ? positive[Math.floor(MAX_QUANTILE * (positive.length - 1))]! : 1;
  const image = new ImageData(side, side);
  crop.forEach((grey, index) => {
    const value = Math.min(Math.max(map[index]!, 0) / largest, 1);
    const colour = magma(0.35 + 0.65 * value);
    const opacity = MAX_OPACITY * value;
    const column = mirror ? side - 1 - (index % side) : index % side;
    const at = 4 * (index - (index % side) + column);
    colour.forEach((channel, which) => (image.data[at + which] = Math.round((1 - opacity) * grey + opacity * channel)));
    image.data[at + 3] = 255;
  });
  canvas.width = side;
  canvas.height = side;
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

/** The colour of a value 0..1, interpolated linearly. */
function magma(value: number): number[] {
  const position = value * (MAGMA.length - 1);
  const below = Math.min(Math.floor(position), MAGMA.length - 2);
  return MAGMA[below]!.map((channel, which) => channel + (position - below) * (MAGMA[below + 1]![which]! - channel));
}
