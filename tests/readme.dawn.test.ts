// The example of src/README.md under "Defining an op", run as it stands there.
import { readFileSync } from 'node:fs';
import { transformWithOxc } from 'vite';
import { afterAll, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import * as glia from '../src/index.ts';
import * as testing from '../src/testing/index.ts';

const missing = inject('withoutLavapipe');

const made: glia.Gpu[] = [];
afterAll(() => {
  for (const gpu of made) gpu.destroy();
});

test.skipIf(missing)('the op that src/README.md defines passes its check', async () => {
  const [, section = ''] = readFileSync('src/README.md', 'utf8').split('\n## Defining an op\n');
  const [, code = ''] = /```ts\n([\s\S]*?)```/.exec(section) ?? [];
  expect(code).toContain('defineOp({');
  await startDawn('lavapipe');
  const modules: Record<string, object> = { glia, 'glia/testing': testing };
  const { code: script } = await transformWithOxc(code, 'example.ts');
  const body = script.replace(/^import (\{[^}]*\}) from ["']([^"']+)["'];$/gm, (_, names, name) => {
    expect(Object.keys(modules)).toContain(name);
    return `const ${names} = modules['${name}'];`;
  });
  expect(body).not.toMatch(/^import/m);
  const said: unknown[] = [];
  const AsyncFunction = (async () => {}).constructor as new (
    ...args: string[]
  ) => (...args: unknown[]) => Promise<unknown>;
  const run = new AsyncFunction('modules', 'console', `${body}\nreturn { rowNorm, norm, unit };`);
  const { norm, unit } = (await run(modules, { log: (report: unknown) => said.push(report) })) as Record<
    string,
    glia.Tensor
  >;
  expect(said).toMatchObject([{ samples: 1, elements: 65 + 325 }]);
  const gpu = await glia.Gpu.request();
  made.push(gpu);
  const x = Float32Array.from({ length: 12 }, (_, i) => i + 1);
  const values = await glia.evaluate(gpu, { norm: norm!, unit: unit! }, { x });
  expect(values.norm[1]).toBeCloseTo(Math.hypot(5, 6, 7, 8), 4);
  expect(values.unit[4]).toBeCloseTo(5 / Math.hypot(5, 6, 7, 8), 5);
});
