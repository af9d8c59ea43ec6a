import { PageError } from "../page_error";
import type { DecodedImage } from "../preprocess/image";
import { uprightTransform, webpOrientation } from "./webp_orientation";

/** Equals mien.base.images.MAXIMUM_PIXELS; a larger image needs more memory than a page has. */
const MAX_PIXELS = 100_000_000;

/** Decode an image file: upright, on a white background; the first frame of an animation. Throws PageError. */
export async function openImage(file: Blob): Promise<DecodedImage> {
  let source: ImageBitmap;
  let orientation: number;
  try {
    orientation = webpOrientation(await file.arrayBuffer());
    // Do not convert colours, as in Python.
    source = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new PageError("image-unreadable");
  }
  try {
    return upright(source, orientation);
  } finally {
    source.close();
  }
}

/** Draw an image upright on white. Throws PageError. */
function upright(source: ImageBitmap, orientation: number): DecodedImage {
  const [width, height] = orientation < 5 ? [source.width, source.height] : [source.height, source.width];
  if (width * height > MAX_PIXELS) throw new PageError("image-too-large");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new PageError("image-too-large");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.setTransform(...uprightTransform(orientation, source.width, source.height));
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
