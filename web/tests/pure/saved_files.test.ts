// Oracle: the columns and cells of mien.inference.output_files, by hand.
import { expect, test } from "vitest";

import { asCsv, type SavedPrediction } from "../../src/predictions/saved_files";

const face: SavedPrediction = {
  source: 'a, "b".png', box: { left: -2, top: 3, width: 40, height: 50 }, detection_score: 0.875, answer: "sad", top: "sad", confidence: 0.5,
  in_doubt: true, alternatives: ["fear", "angry"], probabilities: { sad: 0.5, fear: 0.3, angry: 0.2 },
};

test("a table has a row for each face, and one with face 0 for an image without one", () => {
  expect(asCsv([{ source: "empty.png", face: 0 }, { face: 1, ...face }])).toBe(
    [
      "source,face,box_left,box_top,box_width,box_height,detection_score,answer,top,confidence,in_doubt,alternatives,sad,fear,angry",
      "empty.png,0,,,,,,,,,,,,,",
      '"a, ""b"".png",1,-2,3,40,50,0.875000,sad,sad,0.500000,true,fear;angry,0.500000,0.300000,0.200000',
      "",
    ].join("\n"),
  );
  expect(asCsv([{ time_seconds: 0.04, track: 2, ...face }]).split(",").slice(0, 3)).toEqual(["source", "time_seconds", "track"]);
});
