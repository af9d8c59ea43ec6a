// Oracle: by hand, of the frames that a browser shows.
import { expect, test, vi } from "vitest";

import { openImage } from "../../src/sources/image_file";
import { CameraFrames } from "../../src/sources/frames";

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
