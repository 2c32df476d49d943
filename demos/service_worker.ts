// Keeps the built site, so that it works without a network once it was visited. A new version is taken when no tab shows
// the old one any more: pages load parts of themselves later, and these must be of the same version.
import { cleanupOutdatedCaches, type PrecacheEntry, precacheAndRoute } from 'workbox-precaching';

declare const FILES: readonly PrecacheEntry[];

cleanupOutdatedCaches();
precacheAndRoute([...FILES], { ignoreURLParametersMatching: [/./] });
// The page that was there before its first service worker is served by it too.
addEventListener('activate', (event) => {
  const { clients } = globalThis as unknown as { clients: { claim(): Promise<void> } };
  (event as unknown as { waitUntil(work: Promise<void>): void }).waitUntil(clients.claim());
});
