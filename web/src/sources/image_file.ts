import { PageError } from "../page_error";
import type { DecodedImage } from "../preprocess/image";

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

/** The EXIF tag, and the bytes of an entry in its table. */
const ORIENTATION = 0x0112;
const ENTRY_BYTES = 12;

/** The EXIF orientation of a WebP file, which browsers apply to JPEG and PNG only, 1..8; 1 (upright) if it has none, is damaged, or is of another format. */
function webpOrientation(file: ArrayBuffer): number {
  try {
    const view = new DataView(file);
    if (letters(view, 0) !== "RIFF" || letters(view, 8) !== "WEBP") return 1;
    let at = 12;
    // Chunks start at even offsets.
    while (letters(view, at) !== "EXIF") at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2);
    // Some programs write JPEG's header before the table.
    const start = at + 8 + (letters(view, at + 8) === "Exif" ? 6 : 0);
    const little = letters(view, start).startsWith("II");
    const table = start + view.getUint32(start + 4, little);
    const entries = Array.from({ length: view.getUint16(table, little) }, (_, entry) => table + 2 + entry * ENTRY_BYTES);
    const value = view.getUint16(entries.find((entry) => view.getUint16(entry, little) === ORIENTATION)! + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  } catch {
    // The end of the file was passed.
    return 1;
  }
}

/** The canvas transform that draws an image of this size and orientation upright. Orientations from 5 on swap the sides. */
function uprightTransform(orientation: number, width: number, height: number): [number, number, number, number, number, number] {
  const [right, down] = [[1, 4, 5, 8].includes(orientation) ? 1 : -1, [1, 2, 5, 6].includes(orientation) ? 1 : -1];
  if (orientation < 5) return [right, 0, 0, down, right < 0 ? width : 0, down < 0 ? height : 0];
  return [0, down, right, 0, right < 0 ? height : 0, down < 0 ? width : 0];
}

function letters(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((offset) => view.getUint8(at + offset)));
}
