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
