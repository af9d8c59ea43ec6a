import { own } from "./runtime";

/** What a network wants to see; see mien.preprocess.InputSpec. */
export interface InputSpec {
  size_px: number;
  crop_px: number;
  mean: number;
  std: number;
}

/** What the page needs of a model's manifest; see mien.artifact.Manifest. */
export interface Manifest {
  name: string;
  classes: string[];
  input: InputSpec;
  precision: string;
  temperature: number;
  scores: Record<string, number>;
}

/** The manifest of the model beside the page. */
export async function fetchManifest(): Promise<Manifest> {
  const response = await fetch(own("model.json"));
  if (!response.ok) throw new Error(`model.json: ${response.status} ${response.statusText}`);
  return (await response.json()) as Manifest;
}
