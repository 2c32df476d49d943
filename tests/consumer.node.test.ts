// An app outside of the repository, with the package as it would be published: its types are complete for every TypeScript
// that the README names, and built by Vite it trains with an op, a model and data of its own, in Node.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dawnPackage, swiftshaderFolder } from '../src/cli/dawn/dawn.ts';
import { installPackages } from '../src/cli/npm.ts';
import { packed } from './pack.ts';
import { sampled } from './sampled.ts';

let project: string;
const run = (file: string, args: string[], env = process.env) =>
  execFileSync(file, args, { cwd: project, encoding: 'utf8', stdio: 'pipe', env });

/** TypeScript 5.9, which is not in everybody's install, kept between runs. */
function typescript59(): string {
  const folder = resolve('node_modules', '.typescript-5.9.3');
  const installed = join(folder, 'node_modules', 'typescript');
  if (!existsSync(installed)) installPackages(folder, ['typescript@5.9.3']);
  return installed;
}

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'glia-consumer-'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', await packed()]);
  cpSync('tests/consumer/app.ts', join(project, 'app.ts'));
}, 300_000);

afterAll(() => {
  if (project) rmSync(project, { recursive: true, force: true });
});

const COMPILERS = [
  { version: '5.9', types: [resolve('node_modules', '@webgpu', 'types')], folder: typescript59 },
  { version: '7', types: [], folder: () => resolve('node_modules', 'typescript-7') },
];

test.each(sampled(COMPILERS, 1))(
  'its types are complete for TypeScript $version with what the README names, skipLibCheck false',
  ({ types, folder }) => {
    const tsc = join(folder(), 'bin', 'tsc');
    for (const [moduleResolution, module] of [
      ['bundler', 'esnext'],
      ['nodenext', 'nodenext'],
    ]) {
      const compilerOptions = {
        ...{ strict: true, skipLibCheck: false, noEmit: true, noUncheckedIndexedAccess: true },
        ...{ target: 'es2022', lib: ['es2022', 'dom'], module, moduleResolution },
        types,
      };
      writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }));
      let said = '';
      try {
        said = run(process.execPath, [tsc, '-p', '.']);
      } catch (error) {
        said = (error as { stdout: string }).stdout || String(error);
      }
      expect(said, moduleResolution).toBe('');
    }
  },
  180_000,
);

test('built by Vite, it checks its op, trains with it, resumes to the same bits, is told of lies, and warned of a wrong kernel', async () => {
  await build({
    root: project,
    configFile: false,
    logLevel: 'error',
    build: { lib: { entry: 'app.ts', formats: ['es'], fileName: 'app' }, outDir: 'built' },
  });
  symlinkSync(dawnPackage(), join(project, 'node_modules', 'webgpu'));
  writeFileSync(
    join(project, 'run.mjs'),
    `import { create, globals } from 'webgpu';
     Object.assign(globalThis, globals);
     const { main } = await import('./built/app.js');
     console.log('RESULT' + JSON.stringify(await main(create([]))));
     process.exit(0);`,
  );
  const folder = await swiftshaderFolder();
  const driver = { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: folder };
  const said = run(process.execPath, ['run.mjs'], { ...process.env, ...driver, XDG_RUNTIME_DIR: tmpdir() });
  const { report, losses, whole, stopped, resumed, lies, validated } = JSON.parse(
    said.slice(said.indexOf('RESULT') + 6),
  );
  expect(report).toMatchObject({ samples: 2 });
  expect(report.elements).toBe(3 + 15 + 65 + 260);
  expect(report.gradients).toBeGreaterThan(0);
  expect(losses[99]).toBeLessThan(losses[0] / 4);
  expect(resumed).toEqual(whole);
  // A kernel that is wrong in one form gives way there alone, in what is published as well.
  expect(validated).toMatchObject({ two: 10, three: 15, kernels: ['fast', 'plain'] });
  expect(validated.warnings).toHaveLength(1);
  expect(validated.warnings[0]).toMatch(/computes scale by fast wrongly \(by 3; .*\): plain takes its place/);
  expect(stopped).not.toEqual(whole);
  expect(lies.missing).toBe('ShaderError: rowNorm: its WGSL has no binding for the output rest');
  expect(lies.count).toMatch(/rowNorm: its infer gives 1 results, its kernel 2 \(norm, unit\)/);
  expect(lies.wgsl).toMatch(
    /net.0: rowNorm: the driver refuses its WGSL: line 12: .*sqroot.* in «norm\[id.x\] = sqroot\(total\);»/,
  );
  expect(lies.shape).toMatch(
    /^rowNorm, sample .*: its reference gives 3, 12 numbers, and its infer says f32\[3\], f32\[3, 2\]: 3, 6$/,
  );
  expect(lies.cotangent).toMatch(/rowNorm: its grad gives f32\[12\] for input 0, which is f32\[3, 4\]/);
}, 300_000);
