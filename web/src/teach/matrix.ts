/** Matrices as rows of numbers, one after another. */

export type Matrix = Float64Array;

export function filled(rows: number, columns: number, value: (row: number, column: number) => number): Matrix {
  return Float64Array.from({ length: rows * columns }, (_, at) => value(Math.floor(at / columns), at % columns));
}

export function product(one: Matrix, other: Matrix, rows: number, inner: number, columns: number): Matrix {
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    for (let each = 0; each < inner; each += 1) {
      const factor = one[row * inner + each]!;
      if (factor) for (let column = 0; column < columns; column += 1) result[row * columns + column]! += factor * other[each * columns + column]!;
    }
  }
  return result;
}

export function turned(matrix: Matrix, rows: number, columns: number): Matrix {
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) result[column * rows + row] = matrix[row * columns + column]!;
  }
  return result;
}

/** Multiply a square matrix by one from the left and by the other, turned, from the right. Zeros in both cost nothing. */
export function between(left: Matrix, matrix: Matrix, right: Matrix, side: number): Matrix {
  const half = turned(product(left, matrix, side, side, side), side, side);
  return turned(product(right, half, side, side, side), side, side);
}

export function deviation(given: Iterable<number>): number {
  const values = [...given];
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

export function dot(one: Matrix, other: Matrix): number {
  let sum = 0;
  for (let at = 0; at < one.length; at += 1) sum += one[at]! * other[at]!;
  return sum;
}
