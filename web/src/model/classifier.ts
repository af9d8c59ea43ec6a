import { PageError } from "../page_error";
import { toInput } from "../preprocess/input";
import { queue } from "../queue";
import { fetchManifest, isComplete, type Manifest } from "./manifest";
import { type Output, outputsOf, type Probabilities, probabilitiesOf } from "../heads/votes";
import { manifestIn } from "./model_file";
import { fetchBytes, type Network, openModel, runtime } from "./runtime";

/** Number of faces per run; a larger batch would block the page. */
const BATCH_SIZE = 32;

/** One of the page's models, with its manifest. */
export class Classifier {
  readonly #outputs: Output[];
  readonly #inTurn = queue();

  private constructor(
    readonly manifest: Manifest,
    private readonly network: Network,
    /** Bytes of the model file. */
    readonly file: Uint8Array,
  ) {
    this.#outputs = outputsOf(manifest);
  }

  /** Load the model whose file has this address plus ".onnx", and whose manifest has it plus ".json". */
  static async load(address: URL, manifest = fetchManifest(address)): Promise<Classifier> {
    const file = fetchBytes(new URL(`${address.href}.onnx`));
    const [loaded, network] = await Promise.all([manifest, openModel(file)]);
    return new Classifier(loaded, network, await file);
  }

  /** Open a model file that contains its manifest, like all of mien's. Throws PageError. */
  static async open(file: Uint8Array): Promise<Classifier> {
    let manifest: Manifest | null;
    try {
      manifest = manifestIn(file);
    } catch {
      throw new PageError("model-damaged");
    }
    if (!manifest) throw new PageError("manifest-missing");
    if ((manifest.input?.channels ?? 1) > 1) throw new PageError("model-in-colour");
    if (!isComplete(manifest)) throw new PageError("model-damaged");
    const network = await openModel(Promise.resolve(file)).catch(() => {
      throw new PageError("model-damaged");
    });
    return new Classifier(manifest, network, file);
  }

  /** Free the memory of the network when the active runs have ended. */
  dispose(): Promise<void> {
    return this.#inTurn(() => this.network.release());
  }

  /** Probabilities of grey face crops (size_px * size_px values each). */
  async probabilities(crops: Uint8Array[]): Promise<Probabilities[]> {
    const rows: Probabilities[] = [];
    const logits = [...new Set(this.#outputs.map((output) => output.logits))];
    await this.#run(crops, logits, (given, batch) => {
      const ofOutputs = this.#outputs.map((output) => ({
        name: output.name,
        rows: probabilitiesOf(output, given[output.logits]!),
      }));
      rows.push(...batch.map((_, at) => Object.fromEntries(ofOutputs.map(({ name, rows }) => [name, rows[at]!]))));
    });
    return rows;
  }

  /** Compute the features of each crop, which are the last layer's input. Throws PageError. */
  async features(crops: Uint8Array[]): Promise<Float32Array[]> {
    if (!this.network.outputNames.includes("features")) throw new PageError("features-missing");
    const rows: Float32Array[] = [];
    await this.#run(crops, ["features"], ({ features }, batch) => {
      const width = features!.length / batch.length;
      rows.push(...batch.map((_, at) => features!.slice(at * width, (at + 1) * width)));
    });
    return rows;
  }

  #run(crops: Uint8Array[], outputs: string[], use: (given: Record<string, Float32Array>, batch: Uint8Array[]) => void): Promise<void> {
    return this.#inTurn(async () => {
      const { Tensor } = await runtime();
      const { input: spec } = this.manifest;
      for (let first = 0; first < crops.length; first += BATCH_SIZE) {
        const batch = crops.slice(first, first + BATCH_SIZE);
        const images = new Tensor("float32", toInput(batch, spec), [batch.length, 1, spec.crop_px, spec.crop_px]);
        const given = await this.network.run({ images }, outputs);
        use(Object.fromEntries(outputs.map((name) => [name, given[name]!.data as Float32Array])), batch);
      }
    });
  }
}
