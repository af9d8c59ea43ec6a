import type { InferenceSession } from "onnxruntime-web/wasm";

import { toInput } from "../preprocess/input";
import { fetchManifest, type Manifest } from "./manifest";
import { type Output, outputsOf, type Probabilities, probabilitiesOf } from "../heads/votes";
import { openModel, runtime } from "./runtime";

/** Faces per run: a larger batch would block the page. */
const BATCH_SIZE = 32;

/** One of the page's models, with its manifest. */
export class Classifier {
  readonly #outputs: Output[];

  private constructor(
    readonly manifest: Manifest,
    private readonly session: InferenceSession,
  ) {
    this.#outputs = outputsOf(manifest);
  }

  /** The model whose file and manifest have this address, without ".onnx" and ".json". */
  static async load(address: URL, manifest = fetchManifest(address)): Promise<Classifier> {
    const [loaded, session] = await Promise.all([manifest, openModel(new URL(`${address.href}.onnx`))]);
    return new Classifier(loaded, session);
  }

  dispose(): Promise<void> {
    return this.session.release();
  }

  /** Probabilities of grey face crops (size_px * size_px values each). */
  async probabilities(crops: Uint8Array[]): Promise<Probabilities[]> {
    const { Tensor } = await runtime();
    const { input: spec } = this.manifest;
    const rows: Probabilities[] = [];
    for (let first = 0; first < crops.length; first += BATCH_SIZE) {
      const batch = crops.slice(first, first + BATCH_SIZE);
      const images = new Tensor("float32", toInput(batch, spec), [batch.length, 1, spec.crop_px, spec.crop_px]);
      const given = await this.session.run({ images }, [...new Set(this.#outputs.map(({ logits }) => logits))]);
      const ofOutputs = this.#outputs.map((output) => ({
        name: output.name,
        rows: probabilitiesOf(output, given[output.logits]!.data as Float32Array),
      }));
      rows.push(...batch.map((_, at) => Object.fromEntries(ofOutputs.map(({ name, rows }) => [name, rows[at]!]))));
    }
    return rows;
  }
}
