/** Loads onnxruntime-web as installed by the app; its bundler or import map finds it. */

import * as ort from "onnxruntime-web/wasm";

export function loadRuntime(): Promise<typeof ort> {
  return Promise.resolve(ort);
}
