/** Colours of the expressions. Neighbours are distinct for colour-blind people, and a name is always beside them. */
const COLOURS: Record<string, string> = {
  angry: "#c4543a",
  disgust: "#7f8c3b",
  fear: "#7c5aa8",
  happy: "#dfa426",
  sad: "#3f74ad",
  surprise: "#d07aa4",
  neutral: "#848d97",
  contempt: "#4f8f8b",
  unknown: "#9a9169",
  "not-a-face": "#825c5c",
  positive: "#dfa426",
  negative: "#3f74ad",
};

const OTHERS = ["#28666e", "#b5703c", "#5a6fb0", "#9a5b7d", "#5f8f5a", "#a08a3c"];

/** The colour of the class at `index`; unknown classes cycle through other colours. */
export function colourOf(name: string, index: number): string {
  return COLOURS[name] ?? OTHERS[index % OTHERS.length]!;
}
