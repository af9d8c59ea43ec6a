/** The colour of each expression, told apart also by the colour-blind in this order; names stand beside them always. */
const COLOURS: Record<string, string> = {
  angry: "#c4543a",
  disgust: "#7f8c3b",
  fear: "#7c5aa8",
  happy: "#dfa426",
  sad: "#3f74ad",
  surprise: "#d07aa4",
  neutral: "#8b939b",
  positive: "#dfa426",
  negative: "#3f74ad",
};

const OTHERS = ["#28666e", "#b5703c", "#5a6fb0", "#9a5b7d", "#5f8f5a", "#a08a3c"];

/** The colour of the class at `index`; a model's own classes take turns. */
export function colourOf(name: string, index: number): string {
  return COLOURS[name] ?? OTHERS[index % OTHERS.length]!;
}
