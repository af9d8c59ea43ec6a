/** onnxruntime-web, loaded from the page's own folder when it is first needed. */

import type { InferenceSession } from "onnxruntime-web/wasm";

import threadScript from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";

import packedRuntime from "../../build/onnxruntime.wasm.xz?url";
import { fetchFile, fetchPacked } from "./download";

export type Runtime = typeof import("onnxruntime-web/wasm");

const MAX_THREADS = 4;

let loading: Promise<Runtime> | undefined;

export function runtime(): Promise<Runtime> {
  loading ??= load();
  return loading;
}

/**
 * Half of the cores: on busy cores, threads that wait for one another are slower than one thread. Threads share memory,
 * which browsers allow only for pages with COOP and COEP headers; without these headers there is one thread.
 */
export function threads(): number {
  const cores = navigator.hardwareConcurrency || 1;
  return globalThis.crossOriginIsolated ? Math.min(Math.ceil(cores / 2), MAX_THREADS) : 1;
}

/** Open a model. */
export async function openModel(url: URL): Promise<InferenceSession> {
  const [ort, bytes] = await Promise.all([runtime(), fetchFile(url).then((response) => response.bytes())]);
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
}

/** The address of a file beside the page. */
export function besidePage(file: string): URL {
  return new URL(file, document.baseURI);
}

async function load(): Promise<Runtime> {
  const [ort, binary] = await Promise.all([import("onnxruntime-web/wasm"), fetchPacked(besidePage(packedRuntime))]);
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = threads();
  // What its threads load in a worker has a file of its own: this one shares modules with the page, which would start there.
  if (threads() > 1) ort.env.wasm.wasmPaths = { mjs: besidePage(threadScript) };
  return ort;
}
