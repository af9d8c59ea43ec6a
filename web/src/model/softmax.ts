/** Probabilities from rows of logits, which are divided by the temperature first, as mien.Predictor computes them. */
export function softmax(logits: Float32Array, classes: number, temperature: number): number[][] {
  const rows: number[][] = [];
  for (let first = 0; first < logits.length; first += classes) {
    const row = Array.from(logits.subarray(first, first + classes), (logit) => logit / temperature);
    const largest = Math.max(...row);
    const powers = row.map((value) => Math.exp(value - largest));
    const sum = powers.reduce((total, value) => total + value, 0);
    rows.push(powers.map((value) => value / sum));
  }
  return rows;
}
