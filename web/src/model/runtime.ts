/** onnxruntime-web, loaded when it is first needed. */

import type { InferenceSession } from "onnxruntime-web/wasm";

import { queue } from "../queue";
import { fetchFile } from "./download";
import { loadRuntime } from "./load_runtime";

type Runtime = Awaited<ReturnType<typeof loadRuntime>>;

let loading: Promise<Runtime> | undefined;

export function runtime(): Promise<Runtime> {
  return (loading ??= loadRuntime());
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
