/** The page's part of Cache Storage, which src/worker.js reads too. */
const STORE = "mien";

/** Whether files are kept: by the page, but not in pages of others. */
export const keeping = { isOn: false };

/** Networks could not be loaded. The page shows this once, for as long as it is open. */
export class LoadError extends Error {}

export function reasonOf(error: unknown): string {
  return String((error as Error).message ?? error);
}

/** Fetch a file, and keep it for the time without a network. Raises where the host has none. */
export async function fetchFile(url: URL): Promise<Response> {
  const response = await fetch(url);
  // What development servers and sites of one page answer with where a file is missing.
  const isPage = response.headers.get("Content-Type")?.startsWith("text/html");
  if (!response.ok || isPage) throw new Error(`${url.pathname}: ${isPage ? "a page is there, and no such file" : `${response.status} ${response.statusText}`}`);
  void keep(url, response.clone());
  return response;
}

export async function kept(url: URL): Promise<Response | undefined> {
  return (await store())?.match(url);
}

export async function keep(url: URL, response: Response): Promise<void> {
  // A full disk is no reason to stop.
  await (await store())?.put(url, response).catch(() => {});
}

/** Nothing where the browser stores nothing: in a private window of some, or over plain http from another machine. */
async function store(): Promise<Cache | undefined> {
  return keeping.isOn ? globalThis.caches?.open(STORE).catch(() => undefined) : undefined;
}
