/** Loads onnxruntime-web as installed by the app; its bundler or import map finds it. */

import * as ort from "onnxruntime-web/wasm";

import type { Runtime } from "../model/runtime";

export function loadRuntime(): Promise<Runtime> {
  return Promise.resolve(ort);
}
