/** The outputs of a model: each is an answer of its own, with its own classes. */

import type { Manifest } from "./manifest";

export interface Output {
  /** Empty for the only output of a model without named ones. */
  name: string;
  /** The graph's output with its logits. */
  logits: string;
  classes: string[];
  temperature: number;
  /** What taught it: label, votes, sampled or majority. */
  target: string;
  /** Whether a probability is the share of people who are expected to choose the class. */
  byVotes: boolean;
  /** How often it is right on the validation images, by their label or by the majority of their annotators. */
  accuracy: { by: "label" | "majority"; share: number } | null;
}

/** Probabilities of one face: a row for each output, by its name, in the order of its classes. */
export type Probabilities = Record<string, number[]>;

/** The outputs in the manifest's order, as mien.artifact.Manifest.logits_of names their logits. */
export function outputsOf({ outputs = {}, classes, temperature, scores, majority_accuracy = {} }: Manifest): Output[] {
  const accuracy = (by: "label" | "majority", share?: number) => (share === undefined ? null : { by, share });
  const byLabel = accuracy("label", scores["validation_accuracy"]);
  const named = Object.entries(outputs).map(([name, output], index) => ({
    name,
    logits: index === 0 ? "logits" : `logits_${name}`,
    classes: output.classes,
    temperature: index === 0 ? temperature : output.temperature,
    target: output.target,
    byVotes: output.target !== "label",
    accuracy: index === 0 ? byLabel : accuracy("majority", majority_accuracy[name]),
  }));
  return named.length ? named : [{ name: "", logits: "logits", classes, temperature, target: "label", byVotes: false, accuracy: byLabel }];
}

/** The output that answers unless the user chooses, as mien.manifest.answering says. */
export function defaultOutput(outputs: Output[]): Output {
  const by = (wanted: string) => outputs.find(({ target }) => target === wanted);
  return by("votes") ?? by("sampled") ?? by("majority") ?? outputs[0]!;
}
