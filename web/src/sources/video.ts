import { Fault } from "../fault";

/** Play a video file. Raises Fault. */
export async function playFile(video: HTMLVideoElement, file: Blob): Promise<void> {
  video.src = URL.createObjectURL(file);
  video.controls = true;
  try {
    await video.play();
  } catch {
    throw new Fault("fault_not_a_video");
  }
  // Where browsers cannot decode what is to be seen they play what is to be heard, and no frame ever comes.
  if (!video.videoWidth) throw new Fault("fault_not_a_video");
}

/** Show what a camera sees. */
export async function playCamera(video: HTMLVideoElement, stream: MediaStream): Promise<void> {
  video.srcObject = stream;
  video.controls = false;
  await video.play();
}

/** Free the video element of what it played. */
export function letGo(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  // Without this it would go on playing.
  video.load();
}
