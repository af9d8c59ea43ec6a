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

/** Open a model file. */
export async function openModel(file: URL | Promise<Uint8Array>): Promise<InferenceSession> {
  const [ort, bytes] = await Promise.all([runtime(), file instanceof URL ? fetchFile(file).then((response) => response.bytes()) : file]);
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
}

/** The address of a file beside the page. */
export function besidePage(file: string): URL {
  return new URL(file, globalThis.document?.baseURI ?? location.href);
}
