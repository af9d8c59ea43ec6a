import type { InputSpec } from "../preprocess/input";
import { fetchFile } from "./download";
import { besidePage } from "./runtime";

/** What the page uses of a model's manifest; see mien.base.model_file. */
export interface Manifest {
  name: string;
  classes: string[];
  input: InputSpec;
  precision: string;
  temperature: number;
  /** Of the first output. */
  scores: Record<string, number>;
  /** By name, the first with the classes and the temperature above; empty or missing where there is one without a name. */
  outputs?: Record<string, { classes: string[]; temperature: number; target: string }>;
  /** How shares of people become the answer that is shown by default; as mien.base.heads.votes.AnswerRule. */
  answer?: AnswerRule | null;
  /** What a model that is taught further takes over. */
  parameters?: number;
  recipe?: Record<string, unknown>;
  licence?: string;
  mien_version?: string;
}

interface AnswerRule {
  output: string;
  prior: number[];
  strength: number;
  weights?: Record<string, number>;
  unsure_below: number;
  margin?: number;
}

/** The names of the models beside the page; it starts with the first, on every device. */
export async function fetchModelNames(): Promise<string[]> {
  return (await (await fetchFile(besidePage("models.json"))).json()) as string[];
}

/** A device with this many cores or fewer, or this much memory (GB) or less, is slow. */
const SLOW = { cores: 2, memory: 2 };

interface Device {
  hardwareConcurrency?: number;
  /** Only some browsers say it. */
  deviceMemory?: number;
}

/** The place of mien's fast model, which a slow device is offered; -1 on other devices, and where there is no choice. */
export function offeredModel(names: string[], { hardwareConcurrency = 1, deviceMemory = Infinity }: Device): number {
  const isSlow = hardwareConcurrency <= SLOW.cores || deviceMemory <= SLOW.memory;
  const isFast = (name: string) => ["fast", "fast-int8"].includes(name);
  return isSlow && !isFast(names[0]!) ? names.findIndex(isFast) : -1;
}

/** The address of the model at this place among them, as mien.serve.built_page names its files: "model", "model-2", ... */
export function modelAddress(which: number): URL {
  return besidePage(which === 0 ? "model" : `model-${which + 1}`);
}

export async function fetchManifest(address: URL): Promise<Manifest> {
  return (await (await fetchFile(new URL(`${address.href}.json`))).json()) as Manifest;
}

/** As mien.base.model_file.Manifest.full_name. */
export function fullName({ name, precision }: Manifest): string {
  return precision === "int8" ? `${name}-int8` : name;
}
