// human and face-api for benchmarks/real_faces.py: node node_peer.js NAME FOLDER < PATHS
//
// FOLDER has node_modules. A path is of a file with height and width (uint32), then RGB. For each it prints @[answer, seconds].
const fs = require("fs");
const [name, folder] = process.argv.slice(2);
const modules = `${folder}/node_modules`;
const tf = require(`${modules}/@tensorflow/tfjs`);
const wasm = require(`${modules}/@tensorflow/tfjs-backend-wasm`);
wasm.setWasmPaths(`${modules}/@tensorflow/tfjs-backend-wasm/dist/`);

const tensor = (path) => {
  const data = fs.readFileSync(path), [height, width] = [data.readUInt32LE(0), data.readUInt32LE(4)];
  return tf.tensor(new Uint8Array(data.subarray(8)), [height, width, 3], "float32");
};
// TensorFlow.js asks for model files by URL.
const url = `file://${folder}/node_modules`;
globalThis.fetch = async (path) => new Response(fs.readFileSync(new URL(path)), { headers: { "content-type": "application/json" } });
const largest = (faces, area) => faces.sort((one, other) => area(other) - area(one))[0];

const tools = {
  human: async () => {
    const { Human } = require(`${modules}/@vladmandic/human/dist/human.node-wasm.js`);
    const off = { enabled: false };
    const tool = new Human({
      backend: "wasm",
      modelBasePath: `${url}/@vladmandic/human/models/`,
      wasmPath: `${modules}/@tensorflow/tfjs-backend-wasm/dist/`,
      cacheSensitivity: 0,
      warmup: "none",
      debug: false,
      filter: off,
      body: off,
      hand: off,
      object: off,
      gesture: off,
      face: { detector: { maxDetected: 10, rotation: true }, emotion: { enabled: true }, iris: off, description: off },
    });
    await tool.load();
    return async (image) => {
      const face = largest((await tool.detect(image)).face, ({ box }) => box[2] * box[3]);
      return face ? (face.emotion?.[0]?.emotion ?? "unsure") : null;
    };
  },
  "face-api": async () => {
    const faceapi = require(`${modules}/@vladmandic/face-api/dist/face-api.node-wasm.js`);
    await faceapi.tf.setBackend("wasm");
    await faceapi.tf.ready();
    const { ssdMobilenetv1, faceExpressionNet } = faceapi.nets;
    await Promise.all([ssdMobilenetv1, faceExpressionNet].map((net) => net.loadFromDisk(`${modules}/@vladmandic/face-api/model`)));
    return async (image) => {
      const found = await faceapi.detectAllFaces(image, new faceapi.SsdMobilenetv1Options()).withFaceExpressions();
      const face = largest(found, ({ detection }) => detection.box.area);
      return face ? face.expressions.asSortedArray()[0].expression : null;
    };
  },
};

(async () => {
  const read = await tools[name]();
  const paths = fs.readFileSync(0, "utf8").trim().split("\n");
  for (const [number, path] of [paths[0], ...paths].entries()) {
    const image = tensor(path);
    const began = performance.now();
    const answer = await read(image);
    if (number) console.log(`@${JSON.stringify([answer, (performance.now() - began) / 1000])}`);
    image.dispose();
  }
})();
