// Every word on the screen comes from texts.de.json and texts.en.json; scripts/texts.mjs holds them equal in keys and
// placeholders, and the type below holds the code to the keys.
import type { Language } from "./api";
import de from "./texts.de.json";
import en from "./texts.en.json";

export type TextKey = keyof typeof de;
/** Keys that come as a pair `x_one`, `x_other`. */
export type CountKey = TextKey extends infer K ? (K extends `${infer Base}_one` ? Base : never) : never;

const TABLES: Record<Language, Record<TextKey, string>> = { de, en };

export type Values = Record<string, string | number>;

export function text(language: Language, key: TextKey, values: Values = {}): string {
  return TABLES[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function count(language: Language, key: CountKey, n: number, values: Values = {}): string {
  const full = `${key}_${n === 1 ? "one" : "other"}` as TextKey;
  return text(language, full, { n: n.toLocaleString(language), ...values });
}

/** Known word of an open set (status, notice), or null. */
export function known(language: Language, key: string): string | null {
  return Object.hasOwn(TABLES[language], key) ? TABLES[language][key as TextKey] : null;
}

export function browserLanguage(languages: readonly string[]): Language {
  const first = languages.find((l) => /^(de|en)\b/i.test(l));
  return first?.toLowerCase().startsWith("en") ? "en" : "de";
}
