import { Fault } from "../fault";
import type { Key } from "../words/words";

/** Ask for the camera. Raises Fault. */
export async function openCamera(): Promise<MediaStream> {
  // Browsers leave this out where a page comes neither from this machine nor by https.
  if (!navigator.mediaDevices) throw new Fault("fault_camera_insecure");
  try {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    return await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    throw new Fault(FAULTS[(error as DOMException).name] ?? "fault_camera");
  }
}

const FAULTS: Record<string, Key> = {
  NotAllowedError: "fault_camera_denied",
  SecurityError: "fault_camera_denied",
  NotFoundError: "fault_camera_absent",
  OverconstrainedError: "fault_camera_absent",
  NotReadableError: "fault_camera_busy",
};
