/** Reads the manifest and the head of a model file (ONNX, encoded as Protocol Buffers), and replaces them. */

import type { Manifest } from "./manifest";

/** A layer from D features to C logits: weight has C * D values, row by row. */
export interface Head {
  weight: Float64Array;
  bias: Float64Array;
}

const MANIFEST_KEY = "mien.manifest";

/** Numbers of fields, from onnx.proto. */
const MODEL = { graph: 7, metadata: 14 };
const ENTRY = { key: 1, value: 2 };
const GRAPH = { node: 1, initializer: 5, output: 12, valueInfo: 13, annotation: 14 };
const NODE = { input: 1, output: 2, name: 3, type: 4, attribute: 5 };
const ATTRIBUTE = { name: 1, integer: 3, type: 20 };
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 };
const FLOAT = 1;
const INTEGER_ATTRIBUTE = 2;

/** A field of a message: its number, its value, and the bytes of both. */
interface Field {
  number: number;
  /** Bytes of the value if it has a length: a text, a message or packed numbers. */
  content: Uint8Array;
  whole: Uint8Array;
}

/** Return the manifest; null if the file is not a model of mien. */
export function manifestIn(model: Uint8Array): Manifest | null {
  for (const { content } of fieldsOf(model).filter(({ number }) => number === MODEL.metadata)) {
    const entry = fieldsOf(content);
    if (textOf(entry, ENTRY.key) === MANIFEST_KEY) return JSON.parse(textOf(entry, ENTRY.value)) as Manifest;
  }
  return null;
}

/** Return the last layer, from `features` to `logits`; null if it is not stored in fp32. */
export function headIn(model: Uint8Array): Head | null {
  const graph = fieldsOf(contentOf(fieldsOf(model), MODEL.graph));
  const nodes = graph.filter(({ number }) => number === GRAPH.node).map(({ content }) => fieldsOf(content));
  const last = nodes.find((node) => textOf(node, NODE.output) === "logits" && textOf(node, NODE.type) === "Gemm");
  const [features, ...names] = last ? textsOf(last, NODE.input) : [];
  const tensors = graph.filter(({ number }) => number === GRAPH.initializer).map(({ content }) => fieldsOf(content));
  const [weight, bias] = names.map((name) => tensors.find((tensor) => textOf(tensor, TENSOR.name) === name)).map((tensor) => tensor && contentOf(tensor, TENSOR.raw));
  if (features !== "features" || !weight?.length || !bias?.length) return null;
  return { weight: floatsOf(weight), bias: floatsOf(bias) };
}

/** Return the same network with this head as the only one, and this manifest. */
export function withHead(model: Uint8Array, { weight, bias }: Head, manifest: object): Uint8Array<ArrayBuffer> {
  const classes = bias.length;
  const fields = fieldsOf(model);
  const entry = [field(ENTRY.key, MANIFEST_KEY), field(ENTRY.value, JSON.stringify(manifest))];
  const isManifest = ({ number, content }: Field) => number === MODEL.metadata && textOf(fieldsOf(content), ENTRY.key) === MANIFEST_KEY;
  const rest = fields.filter((field) => field.number !== MODEL.graph && !isManifest(field));
  const graph = fieldsOf(contentOf(fields, MODEL.graph));
  const nodes = graph.filter(({ number }) => number === GRAPH.node);
  const needed = new Set(["features"]);
  // Nodes are stored in the order in which they are computed.
  const kept = nodes.toReversed().filter(({ content }) => {
    const node = fieldsOf(content);
    if (!textsOf(node, NODE.output).some((name) => needed.has(name))) return false;
    textsOf(node, NODE.input).forEach((name) => needed.add(name));
    return true;
  });
  const isKept = (field: Field) => {
    if (field.number === GRAPH.node) return kept.includes(field);
    if (field.number === GRAPH.initializer) return needed.has(textOf(fieldsOf(field.content), TENSOR.name));
    if (field.number === GRAPH.output) return textOf(fieldsOf(field.content), 1) === "features";
    return field.number !== GRAPH.valueInfo && field.number !== GRAPH.annotation;
  };
  const linear = [
    ...["features", "taught.weight", "taught.bias"].map((name) => field(NODE.input, name)),
    field(NODE.output, "logits"),
    field(NODE.name, "taught"),
    field(NODE.type, "Gemm"),
    field(NODE.attribute, [field(ATTRIBUTE.name, "transB"), field(ATTRIBUTE.integer, 1), field(ATTRIBUTE.type, INTEGER_ATTRIBUTE)]),
  ];
  // Type of the output: a tensor of this element type and shape; its first dimension is the batch.
  const shape = [field(1, [field(2, "batch")]), field(1, [field(1, classes)])];
  const logits = [field(1, "logits"), field(2, [field(1, [field(1, FLOAT), field(2, shape)])])];
  const taught = [
    field(GRAPH.output, logits),
    ...graph.filter(isKept).map(({ whole }) => whole),
    field(GRAPH.node, linear),
    field(GRAPH.initializer, tensor("taught.weight", [classes, weight.length / classes], weight)),
    field(GRAPH.initializer, tensor("taught.bias", [classes], bias)),
  ];
  return joined([...rest.map(({ whole }) => whole), field(MODEL.graph, taught), field(MODEL.metadata, entry)]);
}

function tensor(name: string, dims: number[], values: Float64Array): Uint8Array[] {
  const raw = new Uint8Array(Float32Array.from(values).buffer);
  return [...dims.map((size) => field(TENSOR.dims, size)), field(TENSOR.type, FLOAT), field(TENSOR.name, name), field(TENSOR.raw, raw)];
}

/** Return the fields of a message. Throws if it ends within a field. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const tag = varint();
    // Values are eight bytes, a varint, four bytes, or a length followed by as many bytes.
    const length = [-1, 8, -2, undefined, undefined, 4][tag & 7];
    if (length === undefined) throw new Error("no Protocol Buffers");
    const size = length === -1 ? (varint(), 0) : length === -2 ? varint() : length;
    const content = bytes.subarray(at, at + size);
    at += size;
    if (at > bytes.length) throw new Error("cut off");
    fields.push({ number: tag >>> 3, content, whole: bytes.subarray(start, at) });
  }
  return fields;

  function varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at];
      if (byte === undefined) throw new Error("cut off");
      at += 1;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }
}

function contentOf(fields: Field[], wanted: number): Uint8Array {
  return fields.find(({ number }) => number === wanted)?.content ?? new Uint8Array();
}

function textsOf(fields: Field[], wanted: number): string[] {
  return fields.filter(({ number }) => number === wanted).map(({ content }) => new TextDecoder().decode(content));
}

function textOf(fields: Field[], wanted: number): string {
  return textsOf(fields, wanted)[0] ?? "";
}

/** Convert ONNX's numbers, which are little-endian. */
function floatsOf(raw: Uint8Array): Float64Array {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  return Float64Array.from({ length: raw.length / 4 }, (_, at) => view.getFloat32(4 * at, true));
}

/** Encode a field: a number, a text, bytes, or the fields of a message. */
function field(number: number, value: number | string | Uint8Array | Uint8Array[]): Uint8Array {
  if (typeof value === "number") return Uint8Array.of(...varintOf(number << 3), ...varintOf(value));
  if (typeof value === "string") return field(number, new TextEncoder().encode(value));
  const content = Array.isArray(value) ? joined(value) : value;
  return joined([Uint8Array.of(...varintOf((number << 3) | 2), ...varintOf(content.length)), content]);
}

function varintOf(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varintOf(Math.floor(value / 128))];
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
