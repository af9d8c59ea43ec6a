/**
 * Service worker of the page: it stores the page's files, so that the page opens offline. Vite writes it beside
 * index.html, with the names of the built files (vite.config.ts).
 */

/** Name of the page's cache, as in model/download.ts. */
const STORE = "mien";

/** Address of the files whose names change with their content. */
const ASSETS = `${self.registration.scope}assets/`;

/** Paths of all files in this build. */
const FILES = [];

/** Files that the page stores itself: networks and the unpacked runtime. */
const KEPT_BY_PAGE = /\.(onnx|xz)$/;

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOld()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method !== "GET" || !url.startsWith(self.registration.scope) || url.endsWith(".xz")) return;
  event.respondWith(answer(event.request));
});

async function install() {
  const store = await caches.open(STORE);
  await store.addAll(FILES.filter((name) => !KEPT_BY_PAGE.test(name)));
  await self.skipWaiting();
}

/** Delete stored assets that are not in this build. */
async function forgetOld() {
  const store = await caches.open(STORE);
  for (const { url } of await store.keys()) {
    if (!url.startsWith(ASSETS)) continue;
    const name = url.slice(self.registration.scope.length);
    if (!FILES.includes(name) && !FILES.includes(`${name}.xz`)) await store.delete(url);
  }
  await self.clients.claim();
}

/**
 * Files whose names change with their content are asked for once. The page and its models keep their names when they
 * change, so their stored copies are used only offline. A no-store answer of a prediction service beside the page is
 * not stored.
 */
async function answer(request) {
  const kept = request.url.startsWith(ASSETS) && (await caches.match(request));
  if (kept) return kept;
  try {
    const response = await fetch(request);
    if (response.ok && !response.headers.get("Cache-Control")?.includes("no-store")) {
      const store = await caches.open(STORE);
      await store.put(request, response.clone()).catch(() => {});
    }
    return response;
  } catch (error) {
    // The page's address may end with ?webcam=1.
    const offline = await caches.match(request, { ignoreSearch: true });
    if (offline) return offline;
    throw error;
  }
}
