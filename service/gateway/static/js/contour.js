// Lines around the cells of a grid that reach a level: marching squares.

// Edges of a square of four cells, clockwise from the top; which of them a line joins, by the corners that reach the
// level (1 top left, 2 top right, 4 bottom right, 8 bottom left).
const [TOP, RIGHT, BOTTOM, LEFT] = [0, 1, 2, 3];
const LINES = [
  [], [LEFT, TOP], [TOP, RIGHT], [LEFT, RIGHT], [RIGHT, BOTTOM], [LEFT, TOP, RIGHT, BOTTOM], [TOP, BOTTOM], [LEFT, BOTTOM],
  [BOTTOM, LEFT], [BOTTOM, TOP], [TOP, RIGHT, BOTTOM, LEFT], [BOTTOM, RIGHT], [RIGHT, LEFT], [RIGHT, TOP], [TOP, LEFT], [],
];

/** A Path2D around the values of plane (rows x columns) that reach level, on a picture of width x height. */
export function contour(plane, rows, columns, level, width, height) {
  const path = new Path2D();
  const [right, down] = [width / columns, height / rows];
  for (let row = 0; row + 1 < rows; row++) {
    for (let column = 0; column + 1 < columns; column++) {
      const i = row * columns + column;
      const [a, b, c, d] = [plane[i], plane[i + 1], plane[i + columns + 1], plane[i + columns]];
      const edges = LINES[(a >= level) + 2 * (b >= level) + 4 * (c >= level) + 8 * (d >= level)];
      for (let k = 0; k < edges.length; k++) {
        let [x, y] = [column + 0.5, row + 0.5];
        if (edges[k] === TOP) x += (level - a) / (b - a);
        else if (edges[k] === RIGHT) [x, y] = [x + 1, y + (level - b) / (c - b)];
        else if (edges[k] === BOTTOM) [x, y] = [x + (level - d) / (c - d), y + 1];
        else y += (level - a) / (d - a);
        if (k % 2) path.lineTo(x * right, y * down);
        else path.moveTo(x * right, y * down);
      }
    }
  }
  return path;
}
