// Error scopes, which a lost device rejects whenever it is lost.

/** What the innermost error scope caught. Whoever waits for something else first is told of the device's loss there. */
export function popScope(device: GPUDevice): Promise<GPUError | null> {
  const scope = device.popErrorScope();
  // A rejection that nobody waits for yet would be an error of the page.
  scope.catch(() => undefined);
  return scope;
}
