// How many video tracks a film has: browsers play one of them and do not say so.

const HEAD = 1 << 20;
const VIDEO_TRACK = [0x83, 0x81, 0x01];
const CLUSTER = [0x1f, 0x43, 0xb6, 0x75];
const ASCII = (text) => [...text].map((letter) => letter.charCodeAt(0));

/** What people should know of a file of which the browser plays one of several video tracks; "" of others, and where it
 * cannot be told (neither MP4 nor Matroska). */
export async function trackNote(file) {
  const head = await bytes(file, 0, HEAD);
  let count;
  if (matches(head, 0, [0x1a, 0x45, 0xdf, 0xa3])) {
    const end = positions(head, CLUSTER)[0] ?? head.length;
    count = positions(head.subarray(0, end), VIDEO_TRACK).length;
  } else {
    const movie = await movieBox(file);
    // A handler's name comes eight bytes after its box's.
    count = positions(movie, ASCII("hdlr")).filter((place) => matches(movie, place + 12, ASCII("vide"))).length;
  }
  return count > 1 ? `of ${count} video streams, the one that the browser plays is taken` : "";
}

/** The box of an MP4 file that describes its tracks; empty where there is none. */
async function movieBox(file) {
  for (let place = 0, size; place + 16 <= file.size; place += size) {
    const head = new DataView((await bytes(file, place, 16)).buffer);
    size = head.getUint32(0);
    if (size === 1) size = Number(head.getBigUint64(8));
    if (size === 0) size = file.size - place;
    if (size < 8) break;
    if (head.getUint32(4) === 0x6d6f6f76) return bytes(file, place, size);
  }
  return new Uint8Array();
}

const bytes = async (file, from, count) => new Uint8Array(await file.slice(from, from + count).arrayBuffer());

const matches = (data, place, wanted) => wanted.every((value, i) => data[place + i] === value);

function positions(data, wanted) {
  const found = [];
  for (let place = data.indexOf(wanted[0]); place >= 0; place = data.indexOf(wanted[0], place + 1)) {
    if (matches(data, place, wanted)) found.push(place);
  }
  return found;
}
