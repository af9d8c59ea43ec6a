// Oracle: Pillow, which wrote the files of vectors.json, and bytes by hand from the EXIF and WebP specifications.
import { describe, expect, test, vi } from "vitest";

import { openImage } from "../../src/sources/image_file";
import { CameraFrames } from "../../src/sources/frames";
import { storedOrientation, swapsSides, uprightTransform } from "../../src/sources/orientation";
import { vectors } from "../vectors";

const bytes = (...parts: (string | number[])[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...Buffer.from(part, "latin1")] : part))).buffer;

/** A WebP file with one chunk of odd length and one of EXIF. */
const webp = (...exif: (string | number[])[]) => {
  const inside = new Uint8Array(bytes(...exif));
  return bytes("RIFF", [0, 0, 0, 0], "WEBP", "VP8 ", [3, 0, 0, 0, 9, 9, 9, 0], "EXIF", [inside.length, 0, 0, 0], [...inside]);
};

/** The orientation alone. */
const way = (file: ArrayBuffer) => storedOrientation(file).orientation;

describe("orientation of a WebP or PNG", () => {
  test.each([2, 3, 4, 5, 6, 7, 8])("%d, as Pillow wrote it", (expected) => {
    const { file } = vectors.images.find(({ name }) => name === `turned-${expected}.webp`)!;
    expect(way(Uint8Array.from(Buffer.from(file, "base64")).buffer)).toBe(expected);
  });

  test("of a PNG, as Pillow wrote it", () => {
    const { file } = vectors.images.find(({ name }) => name === "sideways.png")!;
    const bytes = Buffer.from(file, "base64");
    const { orientation, cut } = storedOrientation(Uint8Array.from(bytes).buffer);
    expect(orientation).toBe(6);
    // A chunk is its length, its name, so many bytes, and a checksum.
    const name = bytes.indexOf("eXIf");
    expect(cut).toEqual([name - 4, name + 8 + bytes.readUInt32BE(name - 4)]);
  });

  test("both byte orders, with and without JPEG's header, after other tags", () => {
    const big = [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0];
    const little = [42, 0, 8, 0, 0, 0, 2, 0, 0x0f, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0];
    expect(way(webp("MM", big))).toBe(6);
    expect(way(webp("II", little))).toBe(8);
    expect(way(webp("Exif", [0, 0], "II", little))).toBe(8);
  });

  test("a file without a tag, with an invalid tag or cut off is upright", () => {
    expect(way(bytes("RIFF"))).toBe(1);
    expect(way(bytes("RIFF", [0, 0, 0, 0], "WEBP", "EXIF", [255, 255, 255, 255]))).toBe(1);
    expect(way(webp("MM", [0, 42, 255, 255, 255, 255]))).toBe(1);
    expect(way(webp("MM", [0, 42, 0, 0, 0, 8, 0, 9, 0, 0]))).toBe(1);
    expect(way(webp("MM", [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0]))).toBe(1);
    const header = ["\x89PNG\r\n\x1a\n", [0, 0, 0, 0], "IHDR", [0, 0, 0, 0]];
    const exif = [[0, 0, 0, 22], "eXIf", "MM", [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0], [0, 0, 0, 0]];
    expect(way(bytes(...header, ...exif))).toBe(6);
    expect(way(bytes(...header, [0, 0, 0, 0], "IEND", [0, 0, 0, 0], ...exif))).toBe(1);
    expect(way(bytes(...header, [255, 255, 255, 255], "tEXt"))).toBe(1);
    expect(way(bytes(...header, new Array<number>(1000).fill(0)))).toBe(1);
    for (const { name, file } of vectors.images.filter(({ name }) => !name.startsWith("turned") && name !== "sideways.png")) {
      expect(way(Uint8Array.from(Buffer.from(file, "base64")).buffer), name).toBe(1);
    }
  });
});

test("the upright image has the right corner at the top left, and fills its canvas", () => {
  const [width, height] = [3, 2];
  // For the EXIF orientations from 1 on: the corner of the file that is at the top left of the upright image.
  const topLeft = [[0, 0], [3, 0], [3, 2], [0, 2], [0, 0], [0, 2], [3, 2], [3, 0]];
  topLeft.forEach(([x, y], index) => {
    const { a, b, c, d, e, f } = uprightTransform(index + 1, width, height) as Record<string, number>;
    expect([a! * x! + c! * y! + e!, b! * x! + d! * y! + f!].map((value) => value + 0), `${index + 1}`).toEqual([0, 0]);
    const [farX, farY] = [width - x!, height - y!];
    const far = [a! * farX + c! * farY + e!, b! * farX + d! * farY + f!];
    expect(far, `${index + 1}`).toEqual(swapsSides(index + 1) ? [height, width] : [width, height]);
  });
});

test("the newest of a camera's frames that come while one is used is next, with its own time, unless the camera is stopped", async () => {
  // A browser may show the next frame while this one is read.
  const context = { drawImage: () => {}, getImageData: () => ((video.currentTime += 1), {}) };
  vi.stubGlobal("OffscreenCanvas", class { getContext = () => context; });
  let show = (_now: number, _frame: { mediaTime: number }) => {};
  const video = { videoWidth: 4, videoHeight: 3, currentTime: 0, requestVideoFrameCallback: (callback: typeof show) => (show = callback) };
  const frames = new CameraFrames(video as unknown as HTMLVideoElement);
  const used: number[] = [];
  const finished = frames.forEach(async (_frame, seconds) => {
    used.push(seconds);
    show(0, { mediaTime: video.currentTime });
    show(0, { mediaTime: (video.currentTime += 1) });
    if (used.length === 2) frames.stop();
  });
  show(0, { mediaTime: 0 });
  await finished;
  expect(used).toEqual([0, 2]);
  vi.unstubAllGlobals();
});

test("the memory of an image that is too large is freed", async () => {
  const close = vi.fn();
  vi.stubGlobal("createImageBitmap", async () => ({ width: 20_000, height: 5001, close }));
  await expect(openImage(new Blob())).rejects.toMatchObject({ code: "image-too-large" });
  expect(close).toHaveBeenCalledOnce();
  vi.unstubAllGlobals();
});
