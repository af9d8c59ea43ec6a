import type { InferenceSession } from "onnxruntime-web/wasm";

import { toInput } from "../pixels/input";
import { fetchManifest, type Manifest } from "./manifest";
import { open, runtime } from "./runtime";
import { softmax } from "./softmax";

/** Faces at a time: more would hold the page up. */
const BATCH = 32;

/** The model in model.onnx, and its manifest in model.json. */
export class Classifier {
  private constructor(
    readonly manifest: Manifest,
    private readonly session: InferenceSession,
  ) {}

  static async load(): Promise<Classifier> {
    return new Classifier(await fetchManifest(), await open("model.onnx"));
  }

  /** Probabilities of grey squares of size_px * size_px numbers, in the order of the manifest's classes. */
  async probabilities(squares: Uint8Array[]): Promise<number[][]> {
    const { Tensor } = await runtime();
    const { input: spec, classes, temperature } = this.manifest;
    const rows: number[][] = [];
    for (let first = 0; first < squares.length; first += BATCH) {
      const batch = squares.slice(first, first + BATCH);
      const images = new Tensor("float32", toInput(batch, spec), [batch.length, 1, spec.crop_px, spec.crop_px]);
      const { logits } = await this.session.run({ images }, ["logits"]);
      rows.push(...softmax(logits!.data as Float32Array, classes.length, temperature));
    }
    return rows;
  }
}
