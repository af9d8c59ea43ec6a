import { type ErrorCode, PageError } from "../page_error";

/** Play a video file. Throws PageError. */
export async function playFile(video: HTMLVideoElement, file: Blob): Promise<void> {
  video.src = URL.createObjectURL(file);
  try {
    await video.play();
  } catch {
    throw new PageError("video-unreadable");
  }
  // If a browser can decode only the sound, it plays that without any frame.
  if (!video.videoWidth) throw new PageError("video-unreadable");
}

/** Play a video file aside, to test whether the browser can. Throws PageError. */
export async function checkPlays(file: Blob): Promise<void> {
  const trial = document.createElement("video");
  trial.muted = trial.playsInline = true;
  try {
    await playFile(trial, file);
  } finally {
    release(trial);
  }
}

/** Remove the source from the video element and free its memory. */
export function release(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  // Without this, the browser would keep playing.
  video.load();
}

/** Ask the browser for the camera. Throws PageError. */
export async function openCamera(): Promise<MediaStream> {
  // Browsers define this only for pages from this machine or over https.
  if (!navigator.mediaDevices) throw new PageError("camera-insecure");
  try {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    return await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    throw new PageError(CODES[(error as DOMException).name] ?? "camera-failed");
  }
}

const CODES: Record<string, ErrorCode> = {
  NotAllowedError: "camera-denied",
  SecurityError: "camera-denied",
  NotFoundError: "camera-missing",
  OverconstrainedError: "camera-missing",
  NotReadableError: "camera-busy",
};
