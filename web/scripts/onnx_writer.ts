/**
 * Writes ONNX files: as much of the format as the face detector's graph needs.
 *
 * An ONNX file is one protocol-buffer message (onnx.proto3): fields of a number and a wire type, one after another.
 */

export const FLOAT = 1;
export const UINT8 = 2;
export const INT64 = 7;

export interface Tensor {
  name: string;
  type: number;
  dims: number[];
  bytes: Uint8Array;
}

export interface Node {
  operator: string;
  inputs: string[];
  output: string;
  attributes?: Record<string, number | number[] | string>;
}

/** The name, element type and shape of what goes in or comes out; a word stands for a size that may vary. */
export interface Value {
  name: string;
  type: number;
  dims: (number | string)[];
}

export interface Graph {
  name: string;
  nodes: Node[];
  tensors: Tensor[];
  inputs: Value[];
  outputs: Value[];
}

/** A whole model file. Operators are those of opset 17. */
export function modelFile(graph: Graph): Uint8Array {
  const operators = message(text(1, ""), number(2, 17));
  return message(number(1, 8), text(2, "mien"), field(7, graphMessage(graph)), field(8, operators));
}

export function floats(name: string, dims: number[], values: ArrayLike<number>): Tensor {
  return { name, type: FLOAT, dims, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

export function integers(name: string, dims: number[], values: number[]): Tensor {
  return { name, type: INT64, dims, bytes: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) };
}

function graphMessage(graph: Graph): Uint8Array {
  return message(
    ...graph.nodes.map((node) => field(1, nodeMessage(node))),
    text(2, graph.name),
    ...graph.tensors.map((tensor) => field(5, tensorMessage(tensor))),
    ...graph.inputs.map((value) => field(11, valueMessage(value))),
    ...graph.outputs.map((value) => field(12, valueMessage(value))),
  );
}

function nodeMessage(node: Node): Uint8Array {
  return message(
    ...node.inputs.map((name) => text(1, name)),
    text(2, node.output),
    text(3, node.output),
    text(4, node.operator),
    ...Object.entries(node.attributes ?? {}).map(([name, value]) => field(5, attributeMessage(name, value))),
  );
}

function attributeMessage(name: string, value: number | number[] | string): Uint8Array {
  if (typeof value === "string") return message(text(1, name), text(4, value), number(20, 3));
  if (Array.isArray(value)) return message(text(1, name), ...value.map((each) => number(8, each)), number(20, 7));
  if (Number.isInteger(value)) return message(text(1, name), number(3, value), number(20, 2));
  const bytes = new Uint8Array(new Float32Array([value]).buffer);
  return message(text(1, name), message(varint((2 << 3) | 5), bytes), number(20, 1));
}

function tensorMessage(tensor: Tensor): Uint8Array {
  return message(
    ...tensor.dims.map((size) => number(1, size)),
    number(2, tensor.type),
    text(8, tensor.name),
    field(9, tensor.bytes),
  );
}

function valueMessage(value: Value): Uint8Array {
  const dims = value.dims.map((size) => field(1, typeof size === "string" ? text(2, size) : number(1, size)));
  const tensor = message(number(1, value.type), field(2, message(...dims)));
  return message(text(1, value.name), field(2, message(field(1, tensor))));
}

function number(key: number, value: number): Uint8Array {
  return message(varint(key << 3), varint(value));
}

function text(key: number, value: string): Uint8Array {
  return field(key, new TextEncoder().encode(value));
}

function field(key: number, content: Uint8Array): Uint8Array {
  return message(varint((key << 3) | 2), varint(content.length), content);
}

/** A whole number >= 0, seven bits a byte, the lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  while (value > 127) {
    bytes.push((value % 128) | 128);
    value = Math.floor(value / 128);
  }
  return Uint8Array.from([...bytes, value]);
}

function message(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
