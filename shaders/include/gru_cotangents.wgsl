const BATCH: u32 = 2;
const LENGTH: u32 = 3;
const WIDTH: u32 = 2;
const SLICE: u32 = 4;

@group(0) @binding(0) var<storage, read> x: array<vec4f, BATCH * LENGTH * 3 * WIDTH>;
@group(0) @binding(1) var<storage, read> a: array<vec4f, BATCH * (LENGTH + 1) * 3 * WIDTH>;
@group(0) @binding(2) var<storage, read> y: array<vec4f, BATCH * (LENGTH + 1) * WIDTH>;
@group(0) @binding(3) var<storage, read> g: array<vec4f, BATCH * (LENGTH + 1) * WIDTH>;
@group(0) @binding(4) var<storage, read> w: array<vec4f, 12 * WIDTH * WIDTH>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f, BATCH * LENGTH * 3 * WIDTH>;
@group(0) @binding(6) var<storage, read_write> da: array<vec4f, BATCH * (LENGTH + 1) * 3 * WIDTH>;
@group(0) @binding(7) var<storage, read_write> dh0: array<vec4f, BATCH * WIDTH>;
