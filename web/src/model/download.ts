import { XzReadableStream } from "xz-decompress";

/** Fetch a file. Raises where the host has none. */
export async function fetchFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await answerOf(url)).arrayBuffer());
}

/** Fetch a file that is compressed with xz. Browsers cannot do this themselves. */
export async function fetchPacked(url: URL): Promise<ArrayBuffer> {
  return new Response(new XzReadableStream((await answerOf(url)).body!)).arrayBuffer();
}

async function answerOf(url: URL): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  return response;
}
