/// <reference types="vitest/config" />
import { readFileSync } from "node:fs";

import { defineConfig, type Plugin } from "vite";

/**
 * Leaves out onnxruntime's uncompressed wasm, which its code names and the page never asks for (model/load_runtime.ts).
 * Writes the service worker with the names of the other built files, those of public/ that are shown included.
 */
const builtFiles: Plugin = {
  name: "built-files",
  apply: "build",
  generateBundle(_options, bundle) {
    for (const name of Object.keys(bundle)) if (name.endsWith(".wasm")) delete bundle[name];
    const names = Object.keys(bundle).filter((name) => name !== "index.html");
    const files = JSON.stringify(["./", "icon.svg", "licences.txt", "manifest.webmanifest", ...names]);
    const source = readFileSync("src/worker.js", "utf8").replace("FILES = []", () => `FILES = ${files}`);
    this.emitFile({ type: "asset", fileName: "worker.js", source });
  },
};

export default defineConfig({
  // Relative addresses: the page works in any folder of any host.
  base: "./",
  build: {
    outDir: "../src/mien/serve/static",
    emptyOutDir: true,
    target: "es2023",
    chunkSizeWarningLimit: 1000,
    // Every file of its own: one inside a script would be fetched again with each change of the script.
    assetsInlineLimit: 0,
    // Not every host knows that .mjs is a script.
    rolldownOptions: {
      output: { assetFileNames: ({ names }) => `assets/[name]-[hash]${names[0]?.endsWith(".mjs") ? ".js" : "[extname]"}` },
    },
  },
  plugins: [builtFiles],
  // Tests with a camera or a video depend on how many frames a busy machine gets through.
  test: { retry: 2, include: ["tests/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, expect: { poll: { timeout: 20_000 } } },
});
