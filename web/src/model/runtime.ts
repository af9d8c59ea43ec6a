/** onnxruntime-web, loaded when it is first needed. */

import type { InferenceSession } from "onnxruntime-web/wasm";

import { queue } from "../queue";
import { fetchFile } from "./download";
import { loadRuntime } from "./load_runtime";

type Runtime = Awaited<ReturnType<typeof loadRuntime>>;

let loading: Promise<Runtime> | undefined;

export function runtime(): Promise<Runtime> {
  loading ??= loadRuntime();
  return loading;
}

/** onnxruntime fails if a call begins before another one has ended, even of another network. */
const inTurn = queue();

/** A network that onnxruntime has opened. */
export class Network {
  constructor(private readonly session: InferenceSession) {}

  get outputNames(): readonly string[] {
    return this.session.outputNames;
  }

  run(inputs: InferenceSession.FeedsType, outputs: string[]): Promise<InferenceSession.ReturnType> {
    return inTurn(() => this.session.run(inputs, outputs));
  }

  /** Free the memory. */
  release(): Promise<void> {
    return inTurn(() => this.session.release());
  }
}

/** Open a model file. */
export async function openModel(file: URL | Promise<Uint8Array>): Promise<Network> {
  const [ort, bytes] = await Promise.all([runtime(), file instanceof URL ? fetchBytes(file) : file]);
  return new Network(await inTurn(() => ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" })));
}

export async function fetchBytes(url: URL): Promise<Uint8Array> {
  return new Uint8Array(await (await fetchFile(url)).arrayBuffer());
}

export function hasSimd(): boolean {
  return typeof WebAssembly !== "undefined" && WebAssembly.validate(MODULE);
}

/** The smallest module with SIMD: (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt). */
const MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
  ...[10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);
