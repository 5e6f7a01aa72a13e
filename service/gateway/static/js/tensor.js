// actionlens.v1.Tensor as typed arrays.

const FLOAT32 = 1;
const FLOAT16 = 2;
const UINT8 = 3;

/** @returns {{shape: number[], data: Float32Array}} */
export function toArray(tensor) {
  const { buffer, byteOffset, byteLength } = tensor.data;
  const view = new DataView(buffer, byteOffset, byteLength);
  const count = tensor.shape.reduce((product, side) => product * side, 1);
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    if (tensor.dtype === FLOAT32) data[i] = view.getFloat32(4 * i, true);
    else if (tensor.dtype === FLOAT16) data[i] = half(view.getUint16(2 * i, true));
    else if (tensor.dtype === UINT8) data[i] = tensor.offset + tensor.scale * view.getUint8(i);
    else throw new Error(`tensor of unknown type ${tensor.dtype}`);
  }
  return { shape: tensor.shape, data };
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Positive relevance per time step of a volume [T', H', W'] or matrix [T', N] (summed over its last axes). */
export function profile({ shape, data }) {
  const steps = shape[0];
  const size = data.length / steps;
  return Array.from({ length: steps }, (_, step) => {
    let sum = 0;
    for (let i = step * size; i < (step + 1) * size; i++) if (data[i] > 0) sum += data[i];
    return sum;
  });
}

/** Values given at rising positions, read at 0 .. count - 1 with linear interpolation, the ends held. */
export function resample(values, positions, count) {
  return Array.from({ length: count }, (_, frame) => {
    const { before, after, share } = between(positions, frame);
    return values[before] * (1 - share) + values[after] * share;
  });
}

/** Where a frame lies among rising positions. */
export function between(positions, frame) {
  let after = positions.findIndex((position) => position >= frame);
  if (after === 0) return { before: 0, after: 0, share: 0 };
  if (after < 0) return { before: positions.length - 1, after: positions.length - 1, share: 0 };
  const before = after - 1;
  return { before, after, share: (frame - positions[before]) / (positions[after] - positions[before]) };
}
