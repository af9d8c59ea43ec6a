/**
 * All texts of the page in the chosen language. Each JSON file in this folder is a language; no other code lists them.
 */

import { type Output, PHOTOGRAPHS } from "../heads/votes";
import type english from "./en.json";

export type Key = keyof typeof english;

/** The name of a language's file, such as "de". */
export type Language = string;

const files = import.meta.glob<Record<Key, string>>("./*.json", { eager: true, import: "default" });

const SENTENCES = new Map(Object.entries(files).map(([file, sentences]) => [file.slice(2, -5), sentences]));

const FALLBACK = "en";

const STORED = "mien.language";

let language: Language = firstLanguage();

/** All languages, each with its name in that language. */
export function languages(): [Language, string][] {
  return [...SENTENCES].map(([name, sentences]) => [name, sentences.language_name]);
}

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(chosen: Language): void {
  language = chosen;
  try {
    localStorage.setItem(STORED, chosen);
  } catch {
    // If the browser stores nothing, the language is not remembered.
  }
}

/** A sentence, with each `{name}` replaced by that value, and `{name?one|many}` by the form for that number. Numbers get no decimals. */
export function translate(key: Key, values: Record<string, string | number> = {}): string {
  return SENTENCES.get(language)![key].replace(/\{(\w+)(?:\?(.*?)\|(.*?))?\}/g, (whole, name: string, one?: string, many?: string) => {
    const value = values[name] ?? whole;
    if (one === undefined || many === undefined) return typeof value === "number" ? integer(value) : value;
    return new Intl.PluralRules(language).select(Number(value)) === "one" ? one : many;
  });
}

const EXPRESSIONS: readonly Key[] = [
  "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "negative", "positive",
  "contempt", "unknown", "not-a-face",
];

/** The translated name of a class. An unknown class keeps its name in the model, even if it equals a sentence's key. */
export function expression(name: string): string {
  const known = EXPRESSIONS.find((key) => key === name);
  return known ? translate(known) : name;
}

/** Description of an output. An unknown output keeps its name. */
export function outputName({ name, byVotes, rule }: Pick<Output, "name" | "byVotes" | "rule">): string {
  if (rule) return translate("output_answer");
  if (name === PHOTOGRAPHS) return translate("output_photographs");
  if (byVotes) return translate("output_votes");
  return name === "fer2013" ? translate("output_fer2013") : name;
}

/**
 * A fraction 0..1 as a percentage with fixed decimals. "0%" and "100%" are shown only if exact; otherwise "<1%" and
 * ">99%".
 */
export function percent(fraction: number, decimals = 0): string {
  const format = numberFormat({ style: "percent", minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  const step = 10 ** -(decimals + 2);
  if (fraction > 0 && fraction < step / 2) return `<${format(step)}`;
  if (fraction >= 1 - step / 2 && fraction < 1) return `>${format(1 - step)}`;
  return format(Math.min(fraction, 1));
}

/** A number without decimals. */
function integer(value: number): string {
  return numberFormat({ maximumFractionDigits: 0 })(value);
}

/** A number with two decimals. */
export function decimal(value: number): string {
  return numberFormat({ minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "negative" })(value);
}

/** 75.25 -> "1:15", or with one decimal "1:15.2". Times are rounded down, as on a clock. */
export function clock(seconds: number, decimals = 0): string {
  const format = numberFormat({ minimumIntegerDigits: 2, minimumFractionDigits: decimals });
  // Add a little, because floating point would show 0.1 + 0.7 as 0.7.
  const passed = Math.max(Math.floor(seconds * 10 ** decimals + 1e-6), 0) / 10 ** decimals;
  return `${Math.floor(passed / 60)}:${format(passed % 60)}`;
}

const FORMATS = new Map<string, (value: number) => string>();

/** Cached for each language and style: a frame needs dozens of formats, and each is slow to make. */
function numberFormat(style: Intl.NumberFormatOptions): (value: number) => string {
  const name = language + JSON.stringify(style);
  let format = FORMATS.get(name);
  if (!format) {
    format = new Intl.NumberFormat(language, style).format;
    FORMATS.set(name, format);
  }
  return format;
}

/** Names separated by commas, with an "and" before the last. */
export function list(names: string[]): string {
  return new Intl.ListFormat(language).format(names);
}

/** Fill each element that has a `data-text` or a `data-label` key: its text, or its label for screen readers. */
export function translateDocument(root: Document): void {
  root.documentElement.lang = language;
  for (const element of root.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = translate(element.dataset["text"] as Key);
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", translate(element.dataset["label"] as Key));
  }
}

function firstLanguage(): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED);
  } catch {
    // See setLanguage.
  }
  const wanted = [stored, ...(globalThis.navigator?.languages ?? [])].map((name) => name?.split("-")[0] ?? "");
  return wanted.find((name) => SENTENCES.has(name)) ?? FALLBACK;
}
