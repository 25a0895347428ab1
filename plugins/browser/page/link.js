// The page's end of the bridge. Files of page/ run before any script of the page, in its world and one after another;
// they share `livehead`, which the last of them takes away again, so that the page finds no new name. What they need of
// it later, they keep.

globalThis.livehead = (() => {
  const PATIENCE_MS = 8000;
  const waiting = new Map();
  const listeners = new Set();
  let numbers = 0;

  document.addEventListener("livehead-tell", ({ detail }) => {
    const { number, news, ...answer } = JSON.parse(detail);
    if (news) for (const listener of listeners) listener(news, answer);
    waiting.get(number)?.(answer);
    waiting.delete(number);
  });

  return {
    /** The bridge's answer, `{ why }` where there is none: it is silent while the browser gives no leave. */
    ask(what, rest = {}) {
      const number = ++numbers;
      const answer = new Promise((resolve) => {
        waiting.set(number, resolve);
        if (what === "permit") return; // the browser may be asking the person
        setTimeout(() => {
          waiting.delete(number);
          resolve({ why: "TimeoutError" });
        }, PATIENCE_MS);
      });
      document.dispatchEvent(new CustomEvent("livehead-ask", { detail: JSON.stringify({ ...rest, ask: what, number }) }));
      return answer;
    },
    /** Calls `listener` with "devices" or "picture" when those are new, and with "revoked" and { device }. */
    onNews: (listener) => listeners.add(listener),
  };
})();
