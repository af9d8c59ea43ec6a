/** onnxruntime-web, loaded when it is first needed, from our own folder. */

import type { InferenceSession } from "onnxruntime-web/wasm";

import { fetchUnpacked } from "./unpack";

export type Runtime = typeof import("onnxruntime-web/wasm");

const MOST_THREADS = 4;

let loading: Promise<Runtime> | undefined;

export function runtime(): Promise<Runtime> {
  loading ??= load();
  return loading;
}

/**
 * Half of the cores, since threads that wait for one another on busy cores are slower than one. Threads share memory,
 * which a browser allows a page that is served with COOP and COEP headers alone; without them there is one.
 */
export function threads(): number {
  const cores = navigator.hardwareConcurrency || 1;
  return globalThis.crossOriginIsolated ? Math.min(Math.ceil(cores / 2), MOST_THREADS) : 1;
}

/** Open a model of our own folder. */
export async function open(file: string): Promise<InferenceSession> {
  const [ort, bytes] = await Promise.all([runtime(), fetchUnpacked(own(file))]);
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
}

/** The address of a file beside the page. */
export function own(file: string): URL {
  return new URL(file, document.baseURI);
}

async function load(): Promise<Runtime> {
  // A module of its own: onnxruntime's threads load it again, and would otherwise start the page in a worker.
  const [ort, binary] = await Promise.all([import("onnxruntime-web/wasm"), fetchUnpacked(own("onnxruntime.wasm.gz"))]);
  ort.env.wasm.wasmBinary = binary.buffer;
  ort.env.wasm.numThreads = threads();
  return ort;
}
