import { type ErrorCode, PageError } from "../page_error";

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
