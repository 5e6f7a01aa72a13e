// When each frame of a window is shown.

const USUAL_FPS = 12;

/** Seconds from a window's first frame to the beginning of each, and to the end of the last. They are the frames' own
 * times (FrameReport); frames used several times share theirs, and the last one stays as long as frames take on average.
 * Times that are unknown or go back count for nothing: the mean rate does then. */
export function frameTimes({ used, timestamps, effective_fps }) {
  const count = used.length;
  const own = timestamps?.length === count && timestamps.every((time, i) => !i || time >= timestamps[i - 1]);
  if (!own || timestamps[0] === timestamps[count - 1]) {
    return Array.from({ length: count + 1 }, (_, i) => i / (effective_fps || USUAL_FPS));
  }
  const [first, last] = [timestamps[0], timestamps[count - 1]];
  const repeated = count - timestamps.indexOf(last);
  const mean = (last - first) / (count - repeated);
  const times = timestamps.map((time, i) => {
    const begins = timestamps.indexOf(time);
    const next = timestamps.lastIndexOf(time) + 1;
    const lasts = next < count ? timestamps[next] - time : mean * repeated;
    return time - first + (lasts * (i - begins)) / (next - begins);
  });
  return [...times, last - first + mean * repeated];
}
