import { XzReadableStream } from "xz-decompress";

/** The page's part of Cache Storage, which src/worker.js reads too. */
const STORE = "mien";

/** Fetch a file, and keep it for the time without a network. Raises where the host has none. */
export async function fetchFile(url: URL): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  void keep(url, response.clone());
  return response;
}

/**
 * Fetch a file that is compressed with xz, which browsers cannot unpack. The unpacked bytes are kept: the next visit starts
 * without the second that it takes, and browsers keep the compiled code beside bytes that they know.
 */
export async function fetchPacked(url: URL): Promise<ArrayBuffer> {
  const unpacked = new URL(url.href.replace(/\.xz$/, ""));
  const kept = await (await store())?.match(unpacked);
  if (kept) return kept.arrayBuffer();
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  const bytes = await new Response(new XzReadableStream(response.body!)).arrayBuffer();
  void keep(unpacked, new Response(bytes));
  return bytes;
}

/** Nothing where the browser stores nothing: in a private window of some, or over plain http from another machine. */
function store(): Promise<Cache | undefined> {
  return globalThis.caches?.open(STORE).catch(() => undefined) ?? Promise.resolve(undefined);
}

async function keep(url: URL, response: Response): Promise<void> {
  // A full disk is no reason to stop.
  await (await store())?.put(url, response).catch(() => {});
}
