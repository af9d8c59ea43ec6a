// Oracle: the manifest of face-api's weights; two runs of the script against each other and against the built page.
import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { expect, test } from "vitest";

import { built, PACKAGE, python } from "../browser/browser";

const folder = mkdtempSync(path.join(tmpdir(), "mien-detector-"));

function makeDetector(name: string): Buffer {
  const file = path.join(folder, name);
  python("../scripts/make_detector.py", PACKAGE, file);
  return readFileSync(file);
}

test("the detector's file is the same in every build", () => {
  const [first, second] = [makeDetector("first.onnx"), makeDetector("second.onnx")];
  expect(first.equals(second)).toBe(true);
  expect(first.equals(readFileSync(built("detector")))).toBe(true);
});

test("it holds the package's weights in 8 bits", () => {
  const weights = statSync(path.join(PACKAGE, "model/tiny_face_detector_model.bin")).size;
  const size = statSync(built("detector")).size;
  expect(size).toBeGreaterThan(weights);
  expect(size).toBeLessThan(1.1 * weights);
});
