import type { InputSpec } from "../preprocess/input";
import type { AnswerFields } from "../heads/votes";
import { besidePage, fetchFile } from "./download";

/** The fields of a model's manifest that the page uses; see mien.base.model_file. */
export interface Manifest extends AnswerFields {
  name: string;
  input: InputSpec;
  precision: string;
  /** Fields that a model keeps when it is trained further. */
  parameters?: number;
  recipe?: { model?: unknown; augment?: { flip?: boolean; file?: string | null }; tuning?: { fit_head?: boolean } };
  licence?: string;
  mien_version?: string;
}

/** Names of the models beside the page. The page always starts with the first one. */
export async function fetchModelNames(): Promise<string[]> {
  return (await (await fetchFile(besidePage("models.json"))).json()) as string[];
}

/** A device with this many cores or fewer, or this much memory (GB, told by some browsers) or less, is slow. */
const SLOW = { cores: 2, memory: 2 };

/** Index of mien's fast model, which slow devices are offered; -1 on other devices, or without a choice. */
export function offeredModel(names: string[], { hardwareConcurrency = 1, deviceMemory = Infinity }: { hardwareConcurrency?: number; deviceMemory?: number }): number {
  const isSlow = hardwareConcurrency <= SLOW.cores || deviceMemory <= SLOW.memory;
  const isFast = (name: string) => ["fast", "fast-int8"].includes(name);
  return isSlow && !isFast(names[0]!) ? names.findIndex(isFast) : -1;
}

/** Address of the model at this index; mien.serve.built_page names the files "model", "model-2", ... */
export function modelAddress(which: number): URL {
  return besidePage(which === 0 ? "model" : `model-${which + 1}`);
}

export async function fetchManifest(address: URL): Promise<Manifest> {
  return (await (await fetchFile(new URL(`${address.href}.json`))).json()) as Manifest;
}

/** Full name, as mien.base.model_file.Manifest.full_name. */
export function fullName({ name, precision }: Manifest): string {
  return precision === "int8" ? `${name}-int8` : name;
}

/** Whether training also saw mirrored faces, as mien.base.model_file.Manifest.mirrored: only then are views averaged. */
export function seesMirrored({ recipe: { augment, tuning } = {} }: Manifest): boolean {
  return Boolean(tuning?.fit_head || ((augment?.flip ?? true) && !augment?.file));
}

/** Whether the manifest of a user's file has what the page needs, and an output that says a class. */
export function isComplete({ name, classes, input, scores, temperature, outputs }: Partial<Manifest>): boolean {
  const numbers = [input?.size_px, input?.crop_px, input?.mean, input?.std, temperature];
  const named = Object.values(outputs ?? {});
  const lists = [classes, ...named.map((output) => output.classes)];
  const says = !named.length || named.some(({ target }) => target !== "affect");
  return Boolean(name && scores && says) && numbers.every(Number.isFinite) && lists.every((list) => Array.isArray(list) && list.length);
}
