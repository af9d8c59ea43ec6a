import { PageError } from "../page_error";
import type { DecodedImage } from "../preprocess/image";
import { storedOrientation, swapsSides, uprightTransform } from "./orientation";

/** Equals mien.base.images.MAXIMUM_PIXELS; a larger image needs more memory than a page has. */
const MAX_PIXELS = 100_000_000;

/** Decode an image file: upright, on a white background; the first frame of an animation. Throws PageError. */
export async function openImage(file: Blob): Promise<DecodedImage> {
  let source: ImageBitmap;
  let orientation: number;
  try {
    const found = storedOrientation(await file.arrayBuffer());
    orientation = found.orientation;
    const { type } = file;
    const image = found.cut ? new Blob([file.slice(0, found.cut[0]), file.slice(found.cut[1])], { type }) : file;
    // The browser must not rotate an image that is rotated below.
    const imageOrientation = orientation === 1 ? "from-image" : "none";
    // Do not convert colours, as in Python.
    source = await createImageBitmap(image, { imageOrientation, colorSpaceConversion: "none" });
  } catch {
    throw new PageError("image-unreadable");
  }
  try {
    return upright(source, orientation);
  } finally {
    source.close();
  }
}

/** Draw an image upright. Throws PageError. */
function upright(source: ImageBitmap, orientation: number): DecodedImage {
  const sideways = swapsSides(orientation);
  const [width, height] = sideways ? [source.height, source.width] : [source.width, source.height];
  if (width * height > MAX_PIXELS) throw new PageError("image-too-large");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new PageError("image-too-large");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.setTransform(uprightTransform(orientation, source.width, source.height));
  context.drawImage(source, 0, 0);
  let pixels: ImageData;
  try {
    pixels = context.getImageData(0, 0, width, height, { colorSpace: "srgb" });
  } catch {
    throw new PageError("image-too-large");
  }
  // Browsers do not report that a canvas is too large: it stays empty although it was filled with white.
  if (pixels.data[3] !== 255) throw new PageError("image-too-large");
  return { source: canvas, width, height, pixels };
}
