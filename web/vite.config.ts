/// <reference types="vitest/config" />
import { readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

import { detectorFile } from "./scripts/detector_graph.ts";

const packages = path.join(import.meta.dirname, "node_modules");

/**
 * The files beside the page: the face detector, and onnxruntime packed, which the page unpacks itself, so that any host
 * sends a quarter of it.
 */
function networks(): Plugin {
  return {
    name: "networks",
    apply: "build",
    async generateBundle(_options, bundle) {
      // Vite finds the unpacked file named in onnxruntime's code; the page hands it the packed one.
      for (const name of Object.keys(bundle)) if (name.endsWith(".wasm")) delete bundle[name];
      const wasm = await readFile(path.join(packages, "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
      const packed = await promisify(gzip)(wasm, { level: 9 });
      this.emitFile({ type: "asset", fileName: "onnxruntime.wasm.gz", source: packed });
      const detector = await detectorFile(path.join(packages, "@vladmandic/face-api"));
      this.emitFile({ type: "asset", fileName: "detector.onnx", source: detector });
    },
  };
}

export default defineConfig({
  // Any folder of any host.
  base: "./",
  build: { outDir: "../src/mien/serve/static", emptyOutDir: true, target: "es2023", chunkSizeWarningLimit: 1000 },
  plugins: [networks()],
  test: { include: ["tests/**/*.test.ts"], testTimeout: 30_000, hookTimeout: 60_000 },
});
