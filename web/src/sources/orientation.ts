/** EXIF orientation of WebP and PNG files, which not all browsers apply. */

/** The EXIF tag, and the type of its value (16 bits). */
const ORIENTATION = 0x0112;
const SHORT = 3;

/** Bytes in one entry of an EXIF table. */
const ENTRY_BYTES = 12;

/**
 * The EXIF orientation of a WebP or PNG file, 1..8; 1 (upright) if it has none or is of another format. `cut` is the
 * start and end of a PNG's EXIF: Firefox rotates by it even with `imageOrientation: "none"`.
 */
export function storedOrientation(file: ArrayBuffer): { orientation: number; cut?: [number, number] } {
  const view = new DataView(file);
  const isPng = view.byteLength >= 16 && letters(view, 0) === "\x89PNG" && letters(view, 12) === "IHDR";
  const isWebp = view.byteLength >= 12 && letters(view, 0) === "RIFF" && letters(view, 8) === "WEBP";
  if (!isPng && !isWebp) return { orientation: 1 };
  let at = isPng ? 8 : 12;
  while (at + 8 <= view.byteLength) {
    const [length, name] = isPng ? [view.getUint32(at), letters(view, at + 4)] : [view.getUint32(at + 4, true), letters(view, at)];
    if (name === "IEND" || name === "\0\0\0\0") break;
    const start = at + 8;
    // A checksum follows a chunk of a PNG; those of a WebP start at even offsets.
    const end = start + length + (isPng ? 4 : length % 2);
    if (name.toUpperCase() === "EXIF") {
      const orientation = orientationOf(new DataView(file, start, Math.min(length, view.byteLength - start)));
      return { orientation, ...(isPng && orientation !== 1 && { cut: [at, end] as [number, number] }) };
    }
    at = end;
  }
  return { orientation: 1 };
}

/** The canvas transform that draws an image with this size and orientation upright. */
export function uprightTransform(orientation: number, width: number, height: number): DOMMatrix2DInit {
  const [a, b, c, d, e, f] = [
    [1, 0, 0, 1, 0, 0],
    [-1, 0, 0, 1, width, 0],
    [-1, 0, 0, -1, width, height],
    [1, 0, 0, -1, 0, height],
    [0, 1, 1, 0, 0, 0],
    [0, 1, -1, 0, height, 0],
    [0, -1, -1, 0, height, width],
    [0, -1, 1, 0, 0, width],
  ][orientation - 1] as [number, number, number, number, number, number];
  return { a, b, c, d, e, f };
}

/** Orientations from 5 on swap width and height. */
export function swapsSides(orientation: number): boolean {
  return orientation >= 5;
}

/** The tag in the first EXIF table; 1 if it is missing or out of range. */
function orientationOf(given: DataView): number {
  // Some programs write JPEG's EXIF header before the table.
  const header = given.byteLength >= 6 && letters(given, 0) === "Exif" ? 6 : 0;
  const exif = new DataView(given.buffer, given.byteOffset + header, given.byteLength - header);
  if (exif.byteLength < 8) return 1;
  const little = letters(exif, 0).startsWith("II");
  const table = exif.getUint32(4, little);
  if (table + 2 > exif.byteLength) return 1;
  const count = exif.getUint16(table, little);
  for (let entry = table + 2; entry < table + 2 + count * ENTRY_BYTES; entry += ENTRY_BYTES) {
    if (entry + ENTRY_BYTES > exif.byteLength) return 1;
    if (exif.getUint16(entry, little) === ORIENTATION && exif.getUint16(entry + 2, little) === SHORT) {
      const value = exif.getUint16(entry + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}

function letters(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((offset) => view.getUint8(at + offset)));
}
