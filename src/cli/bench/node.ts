// `npm run bench -- --node`: the bench in Node on Dawn, and PyTorch beside it on a GPU.

import { ENGINES, type Row, select } from '../../bench/results.ts';
import { DAWN_VERSION, startDawn } from '../dawn/dawn.ts';
import { type PyTorchCells, runPyTorch } from './pytorch.ts';
import { Report, type ReportOptions } from './report.ts';

/** Measures on a Vulkan driver, by default the best there is. @returns whether all that Glia computed was right */
export async function benchInNode(options: ReportOptions, driver: string | undefined): Promise<boolean> {
  const gpu = await startDawn(driver);
  // The engines ask for their GPU when they are imported.
  const { startBench } = await import('../../bench/node.ts');
  const inNode = options.engines.filter((name) => !name.startsWith('pytorch'));
  const bench = await startBench(gpu, inNode);
  const only = select(bench.ids, options.only);
  for (const [name, reason] of bench.leftOut) {
    console.error(`glia: ${ENGINES[name]} does not run here and is left out: ${reason}`);
  }
  // On the CPU there is nothing to compare PyTorch's CUDA with.
  const pytorch = options.engines.includes('pytorch') && !bench.software ? runPyTorch() : undefined;
  const engines = options.engines.filter((name) => bench.engines.includes(name) || pytorch?.has(name));
  const report = new Report({ ...options, engines });
  const about = { adapter: bench.adapter, browser: `Node ${process.version} on Dawn (webgpu ${DAWN_VERSION})` };
  report.begin(about, bench.ceilings);
  for await (const row of bench.rows({ ...options, only }, (what) => report.progress(what))) {
    report.row({ ...row, cells: { ...row.cells, ...cellsOf(pytorch, row.id) } });
  }
  report.end();
  return !report.wrong;
}

function cellsOf(pytorch: PyTorchCells | undefined, id: string): Row['cells'] {
  const cells = [...(pytorch ?? [])].flatMap(([engine, rows]) => (rows[id] ? [[engine, { samples: rows[id] }]] : []));
  return Object.fromEntries(cells);
}
