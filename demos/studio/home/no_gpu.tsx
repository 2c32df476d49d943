// What to do where there is no WebGPU, by browser.
import { adapter } from '../state.ts';

export function NoGpu() {
  const now = adapter.value;
  if (now.state !== 'none') return null;
  return (
    <section class="notice" id="unsupported" role="alert">
      <h2>No GPU to compute on yet</h2>
      <p>{now.reason}.</p>
      <dl class="browsers">
        <dt>Chrome, Edge</dt>
        <dd>
          Version 113 or newer, on Windows, macOS, ChromeOS and Android. On Linux, or with a driver that Chrome does not
          trust, open <code>chrome://flags/#enable-unsafe-webgpu</code>, enable the flag and start the browser again.
        </dd>
        <dt>Safari</dt>
        <dd>Version 26 or newer, on macOS, iOS and iPadOS 26.</dd>
        <dt>Firefox</dt>
        <dd>
          Version 141 or newer on Windows, 145 on macOS with Apple silicon; elsewhere Nightly, with{' '}
          <code>dom.webgpu.enabled</code> in <code>about:config</code>.
        </dd>
        <dt>Any</dt>
        <dd>
          The page must come from <code>https</code> or from <code>localhost</code>. <code>npm run train</code> trains
          the same models from the command line, if need be on the CPU.
        </dd>
      </dl>
    </section>
  );
}
