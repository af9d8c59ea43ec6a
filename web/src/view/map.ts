/** A map laid in colour over its face, as mien.explain.overlay does it. */

// Matplotlib's magma (Smith & van der Walt, CC0), every 16th of its colours.
const MAGMA = (
  "000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779 cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 " +
  "fcfdbf"
)
  .split(" ")
  .map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

/** Quantile of the positive values of a map that gets the last colour. */
const SCALED_BY = 0.99;
const STRENGTH = 0.6;

/** Where the map is 0 or below, the face is grey as it is. */
export function drawMap(canvas: HTMLCanvasElement, square: Uint8Array, map: Float32Array, mirror: boolean): void {
  const side = Math.sqrt(square.length);
  const positive = map.filter((value) => value > 0).sort();
  const largest = positive.length ? positive[Math.floor(SCALED_BY * (positive.length - 1))]! : 1;
  const image = new ImageData(side, side);
  square.forEach((grey, index) => {
    const share = Math.min(Math.max(map[index]!, 0) / largest, 1);
    const colour = magma(0.35 + 0.65 * share);
    const cover = STRENGTH * share;
    const column = mirror ? side - 1 - (index % side) : index % side;
    const at = 4 * (index - (index % side) + column);
    colour.forEach((channel, which) => (image.data[at + which] = Math.round((1 - cover) * grey + cover * channel)));
    image.data[at + 3] = 255;
  });
  canvas.width = side;
  canvas.height = side;
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

/** Between the colours linearly; value 0..1. */
function magma(value: number): number[] {
  const place = value * (MAGMA.length - 1);
  const below = Math.min(Math.floor(place), MAGMA.length - 2);
  return MAGMA[below]!.map((channel, which) => channel + (place - below) * (MAGMA[below + 1]![which]! - channel));
}
