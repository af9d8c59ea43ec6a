/**
 * The face detector of the page: the network "tiny face detector" of the npm package @vladmandic/face-api (MIT), as an
 * ONNX graph. Its weights are read from that package when the page is built, so that tfjs need not be shipped.
 *
 * The network: a convolution and five depthwise-separable ones, each followed by a leaky ReLU and a maximum over 2 x 2,
 * then one of 1 x 1. Every 32 px cell of the picture has five anchors of five numbers each (see src/faces/anchors.ts).
 */

import { readFile } from "node:fs/promises";
import path from "node:path";

import { FLOAT, floats, integers, modelFile, UINT8, type Node, type Tensor } from "./onnx_writer.ts";

/** What the package subtracts of red, green and blue, 0..255, before it divides by 255. */
const MEAN = [117.001, 114.697, 97.404];

interface Weight {
  name: string;
  shape: number[];
  quantization: { scale: number; min: number };
}

/**
 * The detector as an ONNX file.
 *
 * In: `pixels` uint8 (height, width, 4), RGBA as a canvas gives it, both sides multiples of 32.
 * Out: `cells` float32 (1, 25, height / 32, width / 32).
 */
export async function detectorFile(packageFolder: string): Promise<Uint8Array> {
  const weights = await readWeights(path.join(packageFolder, "model"));
  const tensors: Tensor[] = [
    integers("first", [1], [0]),
    integers("fourth", [1], [3]),
    integers("channels", [1], [2]),
    integers("front", [1], [0]),
    floats("mean", [1, 3, 1, 1], MEAN),
    floats("white", [], [255]),
  ];
  const nodes: Node[] = [
    { operator: "Slice", inputs: ["pixels", "first", "fourth", "channels"], output: "rgb" },
    { operator: "Cast", inputs: ["rgb"], output: "colours", attributes: { to: FLOAT } },
    { operator: "Transpose", inputs: ["colours"], output: "planes", attributes: { perm: [2, 0, 1] } },
    { operator: "Unsqueeze", inputs: ["planes", "front"], output: "batch" },
    { operator: "Sub", inputs: ["batch", "mean"], output: "centred" },
    { operator: "Div", inputs: ["centred", "white"], output: "scaled" },
  ];

  function weight(name: string, order: number[]): string {
    const found = weights.get(name);
    if (!found) throw new Error(`${packageFolder} holds no weights ${name}.`);
    tensors.push(...storedWeight(name, found, order));
    nodes.push(...restoredWeight(name));
    return name;
  }

  function convolution(input: string, filters: string, order: number[], attributes: Node["attributes"], bias?: string) {
    const output = `${filters}/out`;
    const inputs = [input, weight(filters, order), ...(bias ? [weight(bias, [0])] : [])];
    nodes.push({ operator: "Conv", inputs, output, ...(attributes && { attributes }) });
    return output;
  }

  function activatedAndPooled(input: string, layer: number): string {
    const active = `conv${layer}/active`;
    const pooled = `conv${layer}/pooled`;
    // The last maximum keeps the size: one number a cell.
    const step = layer === 5 ? 1 : 2;
    nodes.push({ operator: "LeakyRelu", inputs: [input], output: active, attributes: { alpha: 0.1 } });
    const attributes = { kernel_shape: [2, 2], strides: [step, step], auto_pad: "SAME_UPPER" };
    nodes.push({ operator: "MaxPool", inputs: [active], output: pooled, attributes });
    return pooled;
  }

  // The package stores filters as (height, width, in, out); ONNX wants (out, in, height, width), and of depthwise ones
  // (channel, 1, height, width).
  const ordinary = [3, 2, 0, 1];
  const depthwise = [2, 3, 0, 1];
  let last = convolution("scaled", "conv0/filters", ordinary, { kernel_shape: [3, 3] }, "conv0/bias");
  last = activatedAndPooled(last, 0);
  for (let layer = 1; layer <= 5; layer += 1) {
    const filters = `conv${layer}/depthwise_filter`;
    const group = weights.get(filters)?.shape[2] ?? 0;
    last = convolution(last, filters, depthwise, { kernel_shape: [3, 3], group, pads: [1, 1, 1, 1] });
    last = convolution(last, `conv${layer}/pointwise_filter`, ordinary, { kernel_shape: [1, 1] }, `conv${layer}/bias`);
    last = activatedAndPooled(last, layer);
  }
  last = convolution(last, "conv8/filters", ordinary, { kernel_shape: [1, 1] }, "conv8/bias");
  nodes.push({ operator: "Identity", inputs: [last], output: "cells" });

  return modelFile({
    name: "tiny face detector",
    nodes,
    tensors,
    inputs: [{ name: "pixels", type: UINT8, dims: ["height", "width", 4] }],
    outputs: [{ name: "cells", type: FLOAT, dims: [1, 25, "rows", "columns"] }],
  });
}

interface Stored {
  shape: number[];
  scale: number;
  min: number;
  bytes: Uint8Array;
}

/** The package's weights: 8 bits each, one scale and one least value a tensor. */
async function readWeights(folder: string): Promise<Map<string, Stored>> {
  const file = path.join(folder, "tiny_face_detector_model");
  const manifest = JSON.parse(await readFile(`${file}-weights_manifest.json`, "utf8")) as { weights: Weight[] }[];
  const bytes = await readFile(`${file}.bin`);
  const weights = new Map<string, Stored>();
  let at = 0;
  for (const { name, shape, quantization } of manifest.flatMap((group) => group.weights)) {
    const size = shape.reduce((product, side) => product * side, 1);
    weights.set(name, { shape, ...quantization, bytes: new Uint8Array(bytes.subarray(at, at + size)) });
    at += size;
  }
  if (at !== bytes.length) throw new Error(`${file}.bin holds ${bytes.length} bytes; its manifest says ${at}.`);
  return weights;
}

/** A weight as it is kept in the file: its bytes with their axes in another order, its scale and its least value. */
function storedWeight(name: string, { shape, scale, min, bytes }: Stored, order: number[]): Tensor[] {
  return [
    {
      name: `${name}/bytes`,
      type: UINT8,
      dims: order.map((axis) => shape[axis]!),
      bytes: reordered(bytes, shape, order),
    },
    floats(`${name}/scale`, [], [scale]),
    floats(`${name}/min`, [], [min]),
  ];
}

/** bytes * scale + min, which onnxruntime works out once, when it opens the file. */
function restoredWeight(name: string): Node[] {
  return [
    { operator: "Cast", inputs: [`${name}/bytes`], output: `${name}/cast`, attributes: { to: FLOAT } },
    { operator: "Mul", inputs: [`${name}/cast`, `${name}/scale`], output: `${name}/scaled` },
    { operator: "Add", inputs: [`${name}/scaled`, `${name}/min`], output: name },
  ];
}

/** An array with its axes in another order, as numpy's transpose. */
export function reordered(bytes: Uint8Array, shape: number[], order: number[]): Uint8Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, side) => product * side, 1));
  const dims = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const result = new Uint8Array(bytes.length);
  const index = dims.map(() => 0);
  for (let at = 0; at < bytes.length; at += 1) {
    result[at] = bytes[index.reduce((sum, position, axis) => sum + position * steps[axis]!, 0)]!;
    for (let axis = dims.length - 1; axis >= 0; axis -= 1) {
      index[axis]! += 1;
      if (index[axis]! < dims[axis]!) break;
      index[axis] = 0;
    }
  }
  return result;
}
