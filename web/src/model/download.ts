/** Name of the page's cache in Cache Storage, which src/worker.js reads too. */
const STORE = "mien";

/** Whether files are stored for offline use: only on mien's own page. */
export const keeping = { isOn: false };

/** The networks could not be loaded. The page shows this error once and permanently. */
export class LoadError extends Error {}

/** Fetch a file and store it for offline use. Throws if the host does not have the file. */
export async function fetchFile(url: URL): Promise<Response> {
  const response = await fetch(url);
  // Development servers and single-page hosts answer with a page if a file is missing.
  const isPage = response.headers.get("Content-Type")?.startsWith("text/html");
  if (!response.ok || isPage) throw new Error(`${url.pathname}: ${isPage ? "a page is there, and no such file" : `${response.status} ${response.statusText}`}`);
  void keep(url, response.clone());
  return response;
}

export async function kept(url: URL): Promise<Response | undefined> {
  return (await store())?.match(url);
}

export async function keep(url: URL, response: Response): Promise<void> {
  // If the disk is full, continue without storing.
  await (await store())?.put(url, response).catch(() => {});
}

/** Undefined if the browser stores nothing: in some private windows, or over http from another machine. */
async function store(): Promise<Cache | undefined> {
  return keeping.isOn ? globalThis.caches?.open(STORE).catch(() => undefined) : undefined;
}

/** The address of a file beside the page. */
export function besidePage(file: string): URL {
  return new URL(file, globalThis.document?.baseURI ?? location.href);
}
