/** onnxruntime-web, loaded when it is first needed. */

import type { InferenceSession } from "onnxruntime-web/wasm";

import { fetchFile } from "./download";
import { loadRuntime } from "./load_runtime";

export type Runtime = typeof import("onnxruntime-web/wasm");

let loading: Promise<Runtime> | undefined;

export function runtime(): Promise<Runtime> {
  loading ??= loadRuntime();
  return loading;
}

/** Open a model. */
export async function openModel(url: URL): Promise<InferenceSession> {
  const [ort, bytes] = await Promise.all([runtime(), fetchFile(url).then((response) => response.bytes())]);
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
}

/** The address of a file beside the page. */
export function besidePage(file: string): URL {
  return new URL(file, globalThis.document?.baseURI ?? location.href);
}
