/** Everything that the page says, in the chosen language. The words themselves are in the JSON files beside it. */

import german from "./de.json";
import english from "./en.json";

export type Key = keyof typeof english;
export type Language = "en" | "de";

const WORDS: Record<Language, Record<Key, string>> = { en: english, de: german };

const STORED = "mien.language";

let language: Language = firstLanguage();

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(chosen: Language): void {
  language = chosen;
  try {
    localStorage.setItem(STORED, chosen);
  } catch {
    // A browser that keeps nothing forgets this as well.
  }
}

/** A sentence, with `{name}` replaced by the value of that name. */
export function word(key: Key, values: Record<string, string | number> = {}): string {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

const EXPRESSIONS: readonly Key[] = [
  "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "negative", "positive",
];

/** What a class is called; any but these, be it the key of another word, is called as in the model. */
export function expression(name: string): string {
  const known = EXPRESSIONS.find((key) => key === name);
  return known ? word(known) : name;
}

export function percent(share: number): string {
  return new Intl.NumberFormat(language, { style: "percent" }).format(share);
}

/** A number with as many digits after the point. */
export function figure(value: number, digits: number): string {
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, format).format(value);
}

/** Names one after another, the last after an "and". */
export function list(names: string[]): string {
  return new Intl.ListFormat(language).format(names);
}

/** Fill every element that names its words: as its text, or as its label for screen readers. */
export function translate(root: Document): void {
  root.documentElement.lang = language;
  for (const element of root.querySelectorAll<HTMLElement>("[data-word]")) {
    element.textContent = word(element.dataset["word"] as Key);
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset["label"] as Key));
  }
}

function firstLanguage(): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED);
  } catch {
    // See setLanguage.
  }
  return (stored ?? globalThis.navigator?.language ?? "en").startsWith("de") ? "de" : "en";
}
