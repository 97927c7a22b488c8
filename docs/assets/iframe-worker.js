// Search runs in a worker. Browsers refuse one to a page that was opened from the disk; there a hidden frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(script) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => setTimeout(() => this.onmessage?.({ data }));
      const code = inside.document.createElement("script");
      code.src = script;
      this.ready = new Promise((begin) => code.addEventListener("load", begin));
      code.addEventListener("error", (event) => this.onerror?.(event));
      inside.document.head.append(code);
    }
    postMessage(data) {
      const inside = this.frame.contentWindow;
      this.ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
