/** What a page tells its connections. */
export interface PageListener {
  /** The page is seen, or the network is there, again. */
  readonly onWake: () => void;
  /** The page is left; the browser may keep it, frozen, for the way back. */
  readonly onHide: () => void;
}

interface Target {
  addEventListener?: (type: string, listener: () => void, options: { signal: AbortSignal }) => void;
}

/** What is used of a global object: of a window, of a worker without a document, or of Node without any of this. */
interface PageScope extends Target {
  readonly document?: (Target & { readonly visibilityState?: string }) | undefined;
}

/** Listens to the page whose global object it gets. Returns the undo. */
export function watchPage({ onWake, onHide }: PageListener, global: object): () => void {
  const scope = global as PageScope;
  const { document } = scope;
  const controller = new AbortController();
  function listen(target: Target | undefined, type: string, listener: () => void): void {
    target?.addEventListener?.(type, listener, controller);
  }
  listen(document, 'visibilitychange', () => {
    if (document?.visibilityState === 'visible') onWake();
  });
  // Page Lifecycle: a frozen tab runs again, seen or not.
  listen(document, 'resume', onWake);
  listen(scope, 'pageshow', onWake);
  listen(scope, 'online', onWake);
  listen(scope, 'pagehide', onHide);
  return () => {
    controller.abort();
  };
}
