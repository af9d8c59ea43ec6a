import { Fault } from "../fault";
import type { Picture } from "../reader";
import { liesOnItsSide, uprightTransform, webpOrientation } from "./orientation";

/** As mien.pictures.MAXIMUM_PIXELS: a larger picture would need more memory than a page has. */
const MOST_PIXELS = 100_000_000;

/** Decode an image file: upright, transparency laid on white. An animation's first frame. Raises Fault. */
export async function openPicture(file: Blob): Promise<Picture> {
  let source: ImageBitmap;
  let orientation: number;
  try {
    orientation = webpOrientation(await file.arrayBuffer());
    // What is turned below, the browser shall not turn as well.
    const imageOrientation = orientation === 1 ? "from-image" : "none";
    // Colours as they stand in the file, since Python reads them so.
    source = await createImageBitmap(file, { imageOrientation, colorSpaceConversion: "none" });
  } catch {
    throw new Fault("fault_not_a_picture");
  }
  const sideways = liesOnItsSide(orientation);
  const [width, height] = sideways ? [source.height, source.width] : [source.width, source.height];
  if (width * height > MOST_PIXELS) throw new Fault("fault_too_large");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Fault("fault_too_large");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.setTransform(uprightTransform(orientation, source.width, source.height));
  context.drawImage(source, 0, 0);
  source.close();
  let pixels: ImageData;
  try {
    pixels = context.getImageData(0, 0, width, height, { colorSpace: "srgb" });
  } catch {
    throw new Fault("fault_too_large");
  }
  // Of a canvas that they cannot make, browsers say nothing: it was filled white, and is empty.
  if (pixels.data[3] !== 255) throw new Fault("fault_too_large");
  return { source: canvas, width, height, pixels };
}
