/** Builds the npm package into build/package: npm run package. */

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { defineConfig } from "vite";

const OUT = "build/package";
const PYTHON = process.env["MIEN_PYTHON"] ?? "../.venv/bin/python";

const version = /__version__ = "(.+)"/.exec(readFileSync("../src/mien/version.py", "utf8"))![1];
const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { devDependencies: Record<string, string> };

/** Give the declarations the suffixes that Node's resolution needs. */
function finishTypes(): void {
  for (const name of readdirSync(`${OUT}/types`, { encoding: "utf8", recursive: true })) {
    if (!name.endsWith(".ts")) continue;
    const text = readFileSync(`${OUT}/types/${name}`, "utf8");
    writeFileSync(`${OUT}/types/${name}`, text.replace(/( from |import\()"(\.[^"]+?)(\.js)?"/g, '$1"$2.js"'));
  }
}

export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: `${OUT}/dist`,
    emptyOutDir: true,
    target: "es2023",
    minify: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: "src/package/engine.ts",
      preserveEntrySignatures: "strict",
      external: ["onnxruntime-web/wasm"],
      output: { entryFileNames: "mien.js", assetFileNames: "[name][extname]" },
    },
  },
  plugins: [
    {
      name: "package",
      enforce: "pre",
      resolveId: (name) => (name === "./load_runtime" ? path.resolve("src/package/load_runtime.ts") : null),
      closeBundle() {
        finishTypes();
        mkdirSync(`${OUT}/dist/models`, { recursive: true });
        const models = mkdtempSync(path.join(tmpdir(), "mien-models-"));
        execFileSync(PYTHON, ["-m", "mien", "web", "build", models, "--model", "default", "--model", "fast", "--model", "tiny"], { stdio: "ignore" });
        for (const [file, name] of [["model", "default"], ["model-2", "fast"], ["model-3", "tiny"]]) {
          for (const kind of [".onnx", ".json"]) copyFileSync(path.join(models, file + kind), `${OUT}/dist/models/${name}${kind}`);
        }
        rmSync(models, { recursive: true });
        for (const file of ["public/licences.txt", "../LICENSE", "src/package/README.md"]) copyFileSync(file, `${OUT}/${path.basename(file)}`);
        const content = JSON.parse(readFileSync("src/package/package.json", "utf8")) as object;
        const peerDependencies = { "onnxruntime-web": `^${devDependencies["onnxruntime-web"]}` };
        writeFileSync(`${OUT}/package.json`, `${JSON.stringify({ ...content, version, peerDependencies }, null, 2)}\n`);
      },
    },
  ],
});
