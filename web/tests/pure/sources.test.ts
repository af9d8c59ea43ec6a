// Oracle: Pillow, which wrote the files of vectors.json, and bytes by hand from the EXIF and WebP specifications.
import { describe, expect, test, vi } from "vitest";

import { openImage } from "../../src/sources/image_file";
import { CameraFrames } from "../../src/sources/frames";
import { swapsSides, takeOrientation, uprightTransform } from "../../src/sources/orientation";
import { vectors } from "../vectors";

const bytes = (...parts: (string | number[])[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...Buffer.from(part, "latin1")] : part))).buffer;

/** A WebP file with one chunk of odd length and one of EXIF. */
const webp = (...exif: (string | number[])[]) => {
  const inside = new Uint8Array(bytes(...exif));
  return bytes("RIFF", [0, 0, 0, 0], "WEBP", "VP8 ", [3, 0, 0, 0, 9, 9, 9, 0], "EXIF", [inside.length, 0, 0, 0], [...inside]);
};

/** The orientation alone. */
const storedOrientation = (file: ArrayBuffer) => takeOrientation(file).orientation;

describe("orientation of a WebP or PNG", () => {
  test.each([2, 3, 4, 5, 6, 7, 8])("%d, as Pillow wrote it", (way) => {
    const { file } = vectors.images.find(({ name }) => name === `turned-${way}.webp`)!;
    expect(storedOrientation(Uint8Array.from(Buffer.from(file, "base64")).buffer)).toBe(way);
  });

  test("of a PNG, as Pillow wrote it", () => {
    const { file } = vectors.images.find(({ name }) => name === "sideways.png")!;
    const { orientation, parts } = takeOrientation(Uint8Array.from(Buffer.from(file, "base64")).buffer);
    expect(orientation).toBe(6);
    const rest = Buffer.concat(parts.map((part) => Buffer.from(part)));
    expect(takeOrientation(Uint8Array.from(rest).buffer).orientation).toBe(1);
    expect(rest.subarray(-8, -4).toString()).toBe("IEND");
  });

  test("both byte orders, with and without JPEG's header, after other tags", () => {
    const big = [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0];
    const little = [42, 0, 8, 0, 0, 0, 2, 0, 0x0f, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0];
    expect(storedOrientation(webp("MM", big))).toBe(6);
    expect(storedOrientation(webp("II", little))).toBe(8);
    expect(storedOrientation(webp("Exif", [0, 0], "II", little))).toBe(8);
  });

  test("a file without a tag, with an invalid tag or cut off is upright", () => {
    expect(storedOrientation(bytes("RIFF"))).toBe(1);
    expect(storedOrientation(bytes("RIFF", [0, 0, 0, 0], "WEBP", "EXIF", [255, 255, 255, 255]))).toBe(1);
    expect(storedOrientation(webp("MM", [0, 42, 255, 255, 255, 255]))).toBe(1);
    expect(storedOrientation(webp("MM", [0, 42, 0, 0, 0, 8, 0, 9, 0, 0]))).toBe(1);
    expect(storedOrientation(webp("MM", [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0]))).toBe(1);
    expect(storedOrientation(bytes("\x89PNG\r\n\x1a\n", [255, 255, 255, 255], "IHDR"))).toBe(1);
    for (const { name, file } of vectors.images.filter(({ name }) => !name.startsWith("turned") && name !== "sideways.png")) {
      expect(storedOrientation(Uint8Array.from(Buffer.from(file, "base64")).buffer), name).toBe(1);
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

test("a camera's frame that comes while another is used is used next, unless the camera is stopped meanwhile", async () => {
  const context = { drawImage: () => {}, getImageData: () => ({}) };
  vi.stubGlobal("OffscreenCanvas", class { getContext = () => context; });
  let show = (_now: number, _frame: { mediaTime: number }) => {};
  const video = { videoWidth: 4, videoHeight: 3, currentTime: 0, requestVideoFrameCallback: (callback: typeof show) => (show = callback) };
  const frames = new CameraFrames(video as unknown as HTMLVideoElement);
  const used: number[] = [];
  const finished = frames.forEach(async (_frame, seconds) => {
    used.push(seconds);
    video.currentTime += 1;
    show(0, { mediaTime: video.currentTime });
    if (used.length === 2) frames.stop();
  });
  show(0, { mediaTime: 0 });
  await finished;
  expect(used).toEqual([0, 1]);
  vi.unstubAllGlobals();
});

test("the memory of an image that is too large is freed", async () => {
  const close = vi.fn();
  vi.stubGlobal("createImageBitmap", async () => ({ width: 20_000, height: 5001, close }));
  await expect(openImage(new Blob())).rejects.toMatchObject({ code: "image-too-large" });
  expect(close).toHaveBeenCalledOnce();
  vi.unstubAllGlobals();
});
