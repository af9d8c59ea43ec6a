/** onnxruntime-web from the page's own folder. The npm package takes it from the app's packages instead (src/package). */

import { XzReadableStream } from "xz-decompress";

import threadScript from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";

import packedRuntime from "../../build/onnxruntime.wasm.xz?url";
import { keep, kept } from "./download";
import { besidePage, type Runtime } from "./runtime";

const MAX_THREADS = 4;

export async function loadRuntime(): Promise<Runtime> {
  const [ort, binary] = await Promise.all([import("onnxruntime-web/wasm"), fetchUnpacked(besidePage(packedRuntime))]);
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = threads();
  // What its threads load in a worker has a file of its own: this one shares modules with the page, which would start there.
  if (threads() > 1) ort.env.wasm.wasmPaths = { mjs: besidePage(threadScript) };
  return ort;
}

/**
 * The runtime is compressed with xz, which browsers cannot unpack. The unpacked bytes are kept: the next visit starts
 * without the second that it takes, and browsers keep the compiled code of bytes that they know.
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
 * Half of the cores: on busy cores, threads that wait for one another are slower than one thread. Threads share memory,
 * which browsers allow only for pages with COOP and COEP headers; without these headers there is one thread.
 */
function threads(): number {
  const cores = navigator.hardwareConcurrency || 1;
  return globalThis.crossOriginIsolated ? Math.min(Math.ceil(cores / 2), MAX_THREADS) : 1;
}
