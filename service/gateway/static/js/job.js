// Jobs of the page: made from a frozen window, watched, downloaded.

import { methodOf } from "./methods.js";

const HIGH = 3;
const SUCCEEDED = 3;
const CANCELLED = 6;
const ANSWER = 1;
const MP4 = 4;
// Milliseconds until a job whose watch broke is watched again.
const PAUSE = 1000;

/** A Clip message of frozen pictures. times: as frameTimes has them. */
export async function clipOf(pictures, times) {
  const images = await Promise.all(pictures.map(async ({ blob }) => new Uint8Array(await blob.arrayBuffer())));
  return { frames: { images, timestamps: times.slice(0, images.length) } };
}

/** Creates a job for one clip and returns it. */
export async function create(service, { name, model, target, clip, method }) {
  const request = {
    request_id: crypto.randomUUID(),
    tenant: "page",
    priority: HIGH,
    model,
    method: methodOf(method),
    target,
    clips: [{ name, clip }],
  };
  return (await service.call("CreateJob", request)).job;
}

/** Follows a job to its end, over restarts of the service, and returns its answer; null when it was cancelled.
 * on: {progress(status), partial(explanation, objective)}. */
export async function follow(service, id, on) {
  let last = null;
  for (let watching = true; watching; ) {
    try {
      for await (const { job, running, partial, objective } of service.watch("WatchJob", { id, partial_results: true })) {
        last = job;
        on.progress(running[0]?.progress ?? null, job);
        if (partial) on.partial(partial, objective);
      }
      watching = false;
    } catch (error) {
      // The job goes on without its watchers, and is kept when the service stops.
      if (error.code !== "UNAVAILABLE") throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
  if (last?.state === CANCELLED) return null;
  if (last?.state !== SUCCEEDED) throw new Error(last?.failure?.message ?? "The job ended without a result.");
  return resultOf(service, id);
}

/** The answer of a finished job. */
export async function resultOf(service, id) {
  return service.wire.decode("actionlens.v1.Answer", await download(service, id, ANSWER));
}

export const cancel = (service, id) => service.call("CancelJob", { id });

/** The overlay film of a finished job. */
export const film = (service, id) => download(service, id, MP4);

async function download(service, id, format) {
  const parts = [];
  for await (const { data } of service.watch("DownloadResult", { id, format })) parts.push(data);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
