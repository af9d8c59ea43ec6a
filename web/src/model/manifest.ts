import type { InputSpec } from "../preprocess/input";
import { fetchFile } from "./download";
import { besidePage } from "./runtime";

/** What the page uses of a model's file; see mien.serve.page_manifest. */
export interface Manifest {
  name: string;
  classes: string[];
  input: InputSpec;
  precision: string;
  temperature: number;
  /** Of the first output. */
  scores: Record<string, number>;
  /** Of other outputs, by name: how often they say what most annotators said. Only what was measured is there. */
  majority_accuracy?: Record<string, number>;
  /** By name, the first with the classes and the temperature above; empty or missing where there is one without a name. */
  outputs?: Record<string, { classes: string[]; temperature: number; target: string }>;
  /** How shares of people become the answer that is shown by default; as mien.manifest.AnswerRule. */
  answer?: { output: string; prior: number[]; strength: number; unsure_below: number } | null;
}

/** The names of the models beside the page; it starts with the first. */
export function fetchModelNames(): Promise<string[]> {
  return fetchJson("models.json");
}

/** The manifest of the model at this place among them. */
export function fetchManifest(which: number): Promise<Manifest> {
  return fetchJson(`${modelFile(which)}.json`);
}

/** The name of a model's files, as mien.serve.built_page writes them: "model", "model-2", ... */
export function modelFile(which: number): string {
  return which === 0 ? "model" : `model-${which + 1}`;
}

async function fetchJson<Content>(file: string): Promise<Content> {
  return (await (await fetchFile(besidePage(file))).json()) as Content;
}
