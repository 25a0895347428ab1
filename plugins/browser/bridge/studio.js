// On the studio's page: hands the viewer key of its session to the service worker, which takes it from the configured
// server's page only.

if (window === top) {
  document.addEventListener("livehead-session", ({ detail }) => {
    chrome.runtime.sendMessage({ ask: "studio", key: String(detail ?? "") }).catch(() => {});
  });
}
