/** Loads onnxruntime-web from the page's folder. The npm package loads it from the app's packages (src/package). */

import { XzReadableStream } from "xz-decompress";

import threadScript from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";

import packedRuntime from "../../build/onnxruntime.wasm.xz?url";
import { besidePage, keep, kept } from "./download";

const MAX_THREADS = 4;

export async function loadRuntime(): Promise<typeof import("onnxruntime-web/wasm")> {
  const [ort, binary] = await Promise.all([import("onnxruntime-web/wasm"), fetchUnpacked(besidePage(packedRuntime))]);
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = threads();
  // Threads load a separate file in their workers, because this one would start the page's modules there.
  if (threads() > 1) ort.env.wasm.wasmPaths = { mjs: besidePage(threadScript) };
  return ort;
}

/**
 * The runtime is compressed with xz, which browsers cannot unpack. Storing the unpacked bytes saves a second at the
 * next visit. Browsers also keep the compiled code of known bytes.
 */
async function fetchUnpacked(url: URL): Promise<ArrayBuffer> {
  const unpacked = new URL(url.href.replace(/\.xz$/, ""));
  const present = await kept(unpacked);
  if (present) return present.arrayBuffer();
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  const bytes = await new Response(new XzReadableStream(response.body!)).arrayBuffer();
  void keep(unpacked, new Response(bytes));
  return bytes;
}

/**
 * Use half of the cores: on busy cores, threads that wait for each other are slower than one thread. Threads share
 * memory, which browsers allow only with COOP and COEP headers. Without these headers, there is one thread.
 */
function threads(): number {
  const cores = navigator.hardwareConcurrency || 1;
  return globalThis.crossOriginIsolated ? Math.min(Math.ceil(cores / 2), MAX_THREADS) : 1;
}
